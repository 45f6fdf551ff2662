"""A clock on the wall for a running agent, which a test sets: another day, or a week later.

Only the time of day is moved (`clock.c`, in LD_PRELOAD); what the program measures by its
monotonic clock takes as long as ever.
"""

from __future__ import annotations

import mmap
import struct
import subprocess
import time
from datetime import datetime, timedelta
from pathlib import Path

_SOURCE = Path(__file__).with_name("clock.c")
_FORMAT = "=q"


class WallClock:
    """Of every process that is started with its `environment`, and of their children."""

    def __init__(self, compiler: str, folder: Path) -> None:
        """Makes it in `folder` with this C compiler; it shows the real time."""
        self._library = folder / "clock.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-o", self._library, _SOURCE, "-ldl"], check=True
        )
        self._offset = folder / "clock.offset"
        self._offset.write_bytes(struct.pack(_FORMAT, 0))
        with self._offset.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), struct.calcsize(_FORMAT))

    @property
    def environment(self) -> dict[str, str]:
        """For `Agent.start`."""
        return {"LD_PRELOAD": str(self._library), "SIPMAIL_TEST_CLOCK": str(self._offset)}

    def set(self, moment: datetime) -> None:
        """It is this moment (an aware time) now."""
        self._move(round((moment.timestamp() - time.time()) * 1e9))

    def pass_by(self, span: timedelta) -> None:
        """It is so much later now."""
        (offset,) = struct.unpack(_FORMAT, self._shared[:])
        self._move(offset + round(span.total_seconds() * 1e9))

    def _move(self, offset: int) -> None:
        self._shared[:] = struct.pack(_FORMAT, offset)
