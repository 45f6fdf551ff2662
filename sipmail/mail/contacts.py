"""Who calls from which number: the names of `contacts:` in the configuration, and of its CSV files.

Rules: numbers are compared in the form of `config.numbers`; a name in the configuration comes
before one in a file, and an earlier file before a later one. Files are read again when they change
(looked at once a second at most); one that cannot be read any more leaves what was known of it.

A CSV file may be separated by commas, semicolons or tabs, in UTF-8, UTF-16, Windows-1250 or
ISO-8859-2, as spreadsheets and address books export it. Its first line (a `sep=;` before it does no
harm) names the columns (`name`, `first name`,
`last name`, `company`, `phone`, `mobile` …, or the same in Polish); without such a line, each line
has a name and numbers in any order.
"""

from __future__ import annotations

import csv
import io
import logging
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sipmail.config.model import Config
from sipmail.config.numbers import normalize
from sipmail.voicemail.display import clean, code_page

log = logging.getLogger(__name__)

_LARGEST = 64 << 20
"""Bytes of a file; an address book of that size is a mistake."""
_LOOK_SECONDS = 1.0
_LONGEST_NAME = 80
_NUMBER = re.compile(r"\+?[0-9(][0-9\s()./\-]{1,24}[0-9]")
_SEPARATOR = re.compile("sep=.?", re.IGNORECASE)
_SEVERAL = re.compile(r"\s*(?::::|[;,/]|\n)\s*")
_PHONE_TITLE = re.compile(
    r"\b(phone|tel|telephone|telefon|number|numer|nr|mobile|komórka|komórkowy|cell|fax|faks)\b|"
    r"^phone \d+ - value$",
    re.IGNORECASE,
)
_NO_PHONE = re.compile(r"\b(type|label|typ|etykieta|id)\b", re.IGNORECASE)
_WHOLE = (
    *("name", "full name", "display name", "file as", "contact", "customer"),
    *("nazwa", "nazwa wyświetlana", "imię i nazwisko", "nazwisko i imię", "kontakt", "klient"),
)
_FIRST = ("first name", "given name", "imię")
_LAST = ("last name", "family name", "surname", "nazwisko")
_COMPANY = ("company", "organization", "organization name", "organization 1 - name", "firma")


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it was last read."""

    mark: tuple[int, int]
    names: dict[str, str]


class Contacts:
    """The contacts of one configuration; for any number of threads."""

    def __init__(self, config: Config, now: Callable[[], float] = time.monotonic) -> None:
        contacts = config.contacts
        self._country = config.country
        self._numbers = {
            normalize(number, config.country): name for number, name in contacts.numbers.items()
        }
        self._paths = contacts.files
        self._files: dict[Path, _File] = {}
        self._now = now
        self._looked: float | None = None
        self._lock = threading.Lock()

    def name(self, number: str | None) -> str | None:
        """The name of who calls from `number`, None where there is none."""
        if not number or not (self._numbers or self._paths):
            return None
        number = normalize(number, self._country)
        if (name := self._numbers.get(number)) is not None:
            return name
        with self._lock:
            if self._looked is None or self._now() - self._looked >= _LOOK_SECONDS:
                self._looked = self._now()
                for path in self._paths:
                    self._look(path)
            for path in self._paths:
                if path in self._files and (name := self._files[path].names.get(number)):
                    return name
        return None

    def _look(self, path: Path) -> None:
        known = self._files.get(path)
        try:
            status = path.stat()
            mark = (status.st_mtime_ns, status.st_size)
            if known is not None and known.mark == mark:
                return
            names = read(path, self._country)
        except (OSError, ValueError, csv.Error) as error:
            log.error("contacts: %s cannot be read: %s", path, error)
            return
        log.info("contacts: %d numbers in %s", len(names), path)
        self._files[path] = _File(mark, names)


def read(path: Path, country: str | None) -> dict[str, str]:
    """The names by number in a CSV file. Raises OSError, ValueError and csv.Error."""
    if path.stat().st_size > _LARGEST:
        raise ValueError(f"has more than {_LARGEST >> 20} MB")
    text = _decoded(path.read_bytes())
    lines = io.StringIO(text, newline="")
    rows = [row for row in csv.reader(lines, delimiter=_separator(text)) if any(row)]
    if rows and _SEPARATOR.fullmatch(rows[0][0]):
        del rows[0]
    names: dict[str, str] = {}
    for name, numbers in _entries(rows):
        name = clean(name, _LONGEST_NAME)
        for number in numbers:
            if name and _NUMBER.fullmatch(number):
                names.setdefault(normalize(number, country), name)
    return names


def _decoded(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode(code_page(data), "replace")


def _separator(text: str) -> str:
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(",;\t", key=first.count)


def _entries(rows: Sequence[Sequence[str]]) -> Iterator[tuple[str, list[str]]]:
    """Each contact with its numbers, as they are written."""
    if not rows:
        return
    titles = [title.strip().lower() for title in rows[0]]
    phones = [
        index
        for index, title in enumerate(titles)
        if _PHONE_TITLE.search(title) and not _NO_PHONE.search(title)
    ]
    if not phones or any(_NUMBER.fullmatch(title) for title in titles):
        yield from (_bare(row) for row in rows)
        return

    def column(names: Sequence[str]) -> int | None:
        return next((titles.index(name) for name in names if name in titles), None)

    whole, first, last, company = map(column, (_WHOLE, _FIRST, _LAST, _COMPANY))
    for row in rows[1:]:

        def cell(index: int | None, row: Sequence[str] = row) -> str:
            return row[index].strip() if index is not None and index < len(row) else ""

        name = cell(whole) or f"{cell(first)} {cell(last)}".strip()
        firm = cell(company)
        name = f"{name} ({firm})" if name and firm and firm != name else name or firm
        yield name, [one for index in phones for one in _SEVERAL.split(cell(index)) if one]


def _bare(row: Sequence[str]) -> tuple[str, list[str]]:
    cells = [cell.strip() for cell in row]
    numbers = [cell for cell in cells if _NUMBER.fullmatch(cell)]
    name = next((cell for cell in cells if cell and not _NUMBER.fullmatch(cell)), "")
    return name, numbers
