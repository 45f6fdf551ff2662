"""Two files of one folder take each other's names at once: renameat2(2) with RENAME_EXCHANGE.

Nobody ever sees one of the names missing, and a power cut leaves both exchanged or neither. Python
has no such call, so it goes to the C library; a system without it says ENOSYS, a file system that
cannot do it EINVAL or ENOTSUP, an old sandbox EPERM.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from pathlib import Path

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


def _renameat2() -> ctypes._NamedFuncPointer | None:
    if sys.platform != "linux":
        return None
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        path = ctypes.c_char_p
        function.argtypes = (ctypes.c_int, path, ctypes.c_int, path, ctypes.c_uint)
        function.restype = ctypes.c_int
    return function


_call = _renameat2()


def exchange(one: Path, other: Path) -> None:
    """`one` is `other` afterwards and the other way round; raises OSError, and nothing has changed
    then. On disk once their folder is synced."""
    if _call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), str(one))
    names = os.fsencode(one), os.fsencode(other)
    if _call(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one), None, str(other))
