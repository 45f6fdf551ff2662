"""The time zone of this machine, for a configuration that names none."""

from __future__ import annotations

import os
from pathlib import Path
from zoneinfo import ZoneInfo


def local_timezone() -> ZoneInfo:
    """What `TZ` or `/etc/localtime` say; UTC where neither names a zone."""
    link = Path("/etc/localtime")
    linked = os.path.realpath(link).partition("zoneinfo/")[2] if link.is_symlink() else ""
    for name in (os.environ.get("TZ", "").removeprefix(":"), linked, "UTC"):
        if name:
            try:
                return ZoneInfo(name)
            except (ValueError, OSError, LookupError):
                continue
    raise ValueError("this machine has no time zones: install tzdata (apt install tzdata)")
