"""Telephone numbers: one form for comparing, one for people, and the country that they are of.

The form for comparing is E.164 (`+48221234567`) wherever a number has one; an extension (`201`), a
service code (`*98`) and a user name stay what they are. The library's metadata is imported with the
first number that needs it, and its names of countries are read without the geographic data that
comes with them (a hundred megabytes).
"""

from __future__ import annotations

import re
from functools import cache, lru_cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from phonenumbers import PhoneNumber

_SCHEME = re.compile(r"(?:sips?|tel):", re.IGNORECASE)
_CONTEXT = re.compile(r";phone-context=(\+[0-9.() -]+)", re.IGNORECASE)
_DIALLED = re.compile(r"\+?[0-9*#.()/ \u00a0\u2010-\u2013-]+")
_TRUNK_ZERO = re.compile(r"(\+[0-9]{1,3})[ .-]*\(0\)")
_GLOBAL = re.compile(r"\+[1-9][0-9]{6,14}")
_IN_FULL = re.compile(r"00([1-9][0-9]{6,14})")

# Up to so many digits are an extension, even where the country has numbers as short.
_EXTENSION_DIGITS = 6


def countries() -> frozenset[str]:
    """The countries with a numbering plan, as ISO 3166 writes them (`PL`)."""
    import phonenumbers

    return frozenset(phonenumbers.SUPPORTED_REGIONS)


@lru_cache(maxsize=4096)
def normalize(number: str, country: str | None) -> str:
    """`number` in the form for comparing.

    Takes what is dialled or written, the user of a SIP URI (with or without the URI), and the
    subscriber of a tel URI (RFC 3966, with its phone-context). With a `country` (ISO 3166),
    national numbers become international ones; `00` and the country's own prefix become `+`.
    """
    text = number.strip()
    if scheme := _SCHEME.match(text):
        text = text[scheme.end() :].partition("@")[0] if "@" in text else text[scheme.end() :]
    text = unquote(text)
    context = _CONTEXT.search(text)
    text = text.partition(";")[0].strip()
    if not _DIALLED.fullmatch(text):
        return text
    digits = re.sub(r"[^0-9+*#]", "", _TRUNK_ZERO.sub(r"\1", text))
    if digits.startswith("+") or "*" in digits or "#" in digits:
        return digits
    if context:
        return re.sub(r"[^0-9+]", "", context[1]) + digits
    if len(digits) <= _EXTENSION_DIGITS:
        return digits
    import phonenumbers

    if country and (parsed := _parse(digits, country)) and phonenumbers.is_valid_number(parsed):
        return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)
    if (full := _IN_FULL.fullmatch(digits)) and (parsed := _parse("+" + full[1])):
        return f"+{full[1]}" if phonenumbers.is_possible_number(parsed) else digits
    return digits


def display(number: str) -> str:
    """A normalised number as people write it (`+48 22 123 45 67`); anything else as it is."""
    if not _GLOBAL.fullmatch(number) or (parsed := _parse(number)) is None:
        return number
    import phonenumbers

    if not phonenumbers.is_possible_number(parsed):
        return number
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.INTERNATIONAL)


def country_name(number: str, language: str) -> str:
    """The country of a normalised number in `language` (`pl`, `en`), "" where there is none."""
    if not _GLOBAL.fullmatch(number) or (parsed := _parse(number)) is None:
        return ""
    import phonenumbers

    region = phonenumbers.region_code_for_number(parsed)
    return _country_names(language).get(region, "") if region else ""


def _parse(number: str, country: str | None = None) -> PhoneNumber | None:
    import phonenumbers

    try:
        return phonenumbers.parse(number, country)
    except phonenumbers.NumberParseException:
        return None


@cache
def _country_names(language: str) -> dict[str, str]:
    """Names by ISO 3166 code, from the library's file of names alone."""
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

    import phonenumbers

    path = Path(phonenumbers.__file__).parent / "geodata" / "locale.py"
    spec = spec_from_file_location("phonenumbers.geodata.locale", path)
    if spec is None or spec.loader is None or not path.exists():
        return {}
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    names: dict[str, str] = {}
    for code, translations in module.LOCALE_DATA.items():
        # `*xx` says: as in the language xx.
        name = translations.get(language) or translations.get("en") or ""
        while name.startswith("*"):
            name = translations.get(name[1:], "")
        names[code] = name
    return names
