"""`sipmail run`: the agent in the foreground."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import sys

import typer

from sipmail.cli.options import ConfigOption, read_config


def run(
    config: ConfigOption = None,
    verbose: bool = typer.Option(False, "--verbose", "-v", help="Log what is otherwise hidden."),
    trace: bool = typer.Option(
        False, "--trace", help="Log every SIP message, with passwords and keys masked."
    ),
) -> None:
    """Runs the agent in the foreground and logs to stderr.

    The line `ready` says that it takes calls. SIGTERM stops it in good order, SIGHUP reloads the
    configuration.

    Example: sipmail run -c /etc/sipmail/sipmail.yaml
    """
    set_up_logging(logging.DEBUG if verbose else logging.INFO)
    _expect_signals()
    # Imported here: the other commands don't need the agent, and start faster without.
    from sipmail.agent.agent import Agent

    loaded = read_config(config)

    async def serve() -> None:
        await Agent(loaded, trace=trace).run()

    gc.freeze()
    asyncio.run(serve())


def _expect_signals() -> None:
    """Until the agent takes them: SIGTERM ends the program as it ends the agent, with 0, and SIGHUP
    does no harm, since the configuration is still to be read.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    signal.signal(signal.SIGHUP, lambda number, frame: None)


def set_up_logging(level: int) -> None:
    """Log lines go to stderr, with the time, for a terminal or a journal alike."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(name)s: %(message)s"))
    root = logging.getLogger("sipmail")
    root.addHandler(handler)
    root.setLevel(level)
    root.propagate = False
