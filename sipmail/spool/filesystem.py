"""Which file systems write again into the block that a file has (Linux).

Those that never do (btrfs, ZFS, f2fs) need a new one for it, which a full disk does not have. Of
others nothing is known, and an overlay may lie on any.
"""

from __future__ import annotations

import ctypes
import sys

_EXT4, _XFS, _TMPFS = 0xEF53, 0x58465342, 0x01021994
"""As statfs(2) names them; ext2 and ext3 have the same number."""
_IN_PLACE = (_EXT4, _XFS, _TMPFS)
_STRUCT_BYTES = 512
"""More than a `struct statfs` has anywhere; its first word is the type."""

_fstatfs = (
    getattr(ctypes.CDLL(None, use_errno=True), "fstatfs", None) if sys.platform == "linux" else None
)
_known: dict[int, bool] = {}


def writes_in_place(fd: int, device: int) -> bool:
    """Whether the file system of `fd`, on `device` (its `st_dev`), does; False where in doubt."""
    if device not in _known:
        _known[device] = _type(fd) in _IN_PLACE
    return _known[device]


def _type(fd: int) -> int:
    buffer = ctypes.create_string_buffer(_STRUCT_BYTES)
    if _fstatfs is None or _fstatfs(fd, buffer) != 0:
        return 0
    return int.from_bytes(buffer.raw[: ctypes.sizeof(ctypes.c_long)], sys.byteorder)
