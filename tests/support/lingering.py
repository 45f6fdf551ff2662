"""`python -m tests.support.lingering FD`: a child that closes its channel and does not end."""

from __future__ import annotations

import signal

from sipmail.process import adopt


def main() -> None:
    """Says that it is ready, waits for one word, and hangs."""
    channel = adopt()
    channel.send("Ready")
    signal.sigwait({signal.SIGUSR1})
    channel.close()
    signal.pause()


if __name__ == "__main__":
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    main()
