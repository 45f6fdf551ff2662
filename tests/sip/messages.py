"""The raw messages of the tests, by the names of their files."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).parent / "data"


def load(folder: str) -> dict[str, bytes]:
    """The messages of one folder: `torture` (RFC 4475), `ipv6` (RFC 5118), `normal`."""
    return {path.stem: path.read_bytes() for path in sorted((DATA / folder).glob("*.dat"))}


TORTURE = load("torture")
IPV6 = load("ipv6")
NORMAL = load("normal")
