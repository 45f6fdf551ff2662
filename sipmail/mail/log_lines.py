"""What the courier logs, for the log of the agent, which has the only one."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Iterator

from sipmail.mail import protocol


class LogLines(logging.Handler):
    """Keeps what the courier logs until it is passed on to the agent, whose log it goes to."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(message)s"))
        self._lines: queue.SimpleQueue[protocol.Log] = queue.SimpleQueue()
        self.wake: Callable[[], None] = lambda: None

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.put(protocol.Log(record.levelno, record.name, self.format(record)))
        if threading.current_thread() is not threading.main_thread():
            self.wake()  # the main thread passes the lines on before it sleeps

    def take(self) -> Iterator[protocol.Log]:
        """The lines since the last time."""
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._lines.get_nowait()
