"""Opening hours in OpenStreetMap's notation, with the public holidays (PH) of a country.

Hours are meant by the clock on the wall: `when` is taken as its own time zone shows it, so a day of
25 hours opens its 02:30 twice. The library knows no school holidays and, without a place on the
map, no sunrise: both are refused here rather than guessed.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from opening_hours import OpeningHours

_COMMENT = re.compile(r'"[^"]*"')
_PLACE = re.compile(r"--> 1:([0-9]+)")
_EXAMPLE = 'write it like "Mo-Fr 08:00-16:00; PH off"'


def check(text: str, country: str | None) -> None:
    """Raises ValueError with what to write instead where `text` is no opening hours."""
    plain = _COMMENT.sub("", text)
    if not text.strip():
        raise ValueError(f"the hours are empty: {_EXAMPLE}, or leave the key out")
    if re.search(r"\bSH\b", plain):
        raise ValueError("school holidays (SH) are not known: write their dates")
    if found := re.search(r"\b(sunrise|sunset|dawn|dusk)\b", plain):
        raise ValueError(f"{found[0]} is not known here: write a time like 08:00")
    if mean_holidays(text) and country is None:
        raise ValueError(
            "PH needs to know whose public holidays: add country: (like PL) at the top"
        )
    from opening_hours import (  # type: ignore[attr-defined, unused-ignore]  # not in its stub
        ParserError,
        UnknownCountryError,
    )

    try:
        _parse(text, country)
    except UnknownCountryError:
        raise ValueError(
            f"the public holidays of {country} are not known: write their dates instead of PH"
        ) from None
    except ParserError as error:
        place = _PLACE.search(str(error))
        rest = text[int(place[1]) - 1 :] if place else ""
        where = f" from {rest!r} on" if rest and rest != text else ""
        raise ValueError(f"{text!r} cannot be understood{where}: {_EXAMPLE}") from None


def is_open(text: str, when: datetime, country: str | None) -> bool:
    """Whether the opening hours `text` say open at `when`, an aware datetime in their time zone.

    `country` (ISO 3166, like PL) says whose public holidays PH means. The text is one that `check`
    has passed; what it calls unknown counts as closed.
    """
    return _parse(text, country).is_open(when.replace(tzinfo=None, fold=0))


@lru_cache(maxsize=1024)
def _parse(text: str, country: str | None) -> OpeningHours:
    from opening_hours import OpeningHours

    return OpeningHours(text, country=country if mean_holidays(text) else None)


def mean_holidays(text: str) -> bool:
    """Whether the hours name public holidays."""
    return re.search(r"\bPH\b", _COMMENT.sub("", text)) is not None
