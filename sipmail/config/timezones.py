"""The time zone of this machine, for a configuration that names none."""

from __future__ import annotations

import os
from pathlib import Path
from zoneinfo import ZoneInfo

from sipmail.errors import ConfigError, Problem


def local_timezone() -> ZoneInfo:
    """What `TZ` or `/etc/localtime` say; UTC where neither names a zone.

    Raises ConfigError on a machine that has no time zones at all.
    """
    link = Path("/etc/localtime")
    linked = os.path.realpath(link).partition("zoneinfo/")[2] if link.is_symlink() else ""
    for name in (os.environ.get("TZ", "").removeprefix(":"), linked, "UTC"):
        if name:
            try:
                return ZoneInfo(name)
            except (ValueError, OSError, LookupError):
                continue
    text = "this machine knows no time zones: install tzdata (apt or pip)"
    raise ConfigError([Problem("/usr/share/zoneinfo", 0, 0, "", text)])
