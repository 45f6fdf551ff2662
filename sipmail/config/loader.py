"""The file → a `Config`, or a `ConfigError` with all that is wrong, in the order of the file.

In this order: text → `document` (places, environment, files) → `defaults` merged into every
mailbox → `model` (each value by itself) → `checks` (values against each other).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeVar

from pydantic import ValidationError

from sipmail.config import document, tree
from sipmail.config.checks import Finding, Sections, check
from sipmail.config.fields import Surroundings
from sipmail.config.model import Config, Limits, Mail, Mailbox, Rtp, Section, Sip, Trunk
from sipmail.config.wording import sentence
from sipmail.errors import ConfigError, Problem

_S = TypeVar("_S", bound=Section)

SEARCHED: Final = (Path("sipmail.yaml"), Path("/etc/sipmail/sipmail.yaml"))

_WRITE_ONE: Final = "write one like sipmail.example.yaml, or name another with -c"

# Sections that may stand without a key: all of them may be commented out.
_MAY_BE_EMPTY = ("defaults", "users", "rtp", "limits")
# Keys of the file that a mailbox may set for itself.
_FOR_ALL = ("language", "timezone")
# Attributes of the model that are no keys of the file.
_NO_KEYS = (
    ("path",),
    ("warnings",),
    ("mail", "from_"),
    ("sip", "trunks", "*", "name"),
    ("mailboxes", "*", "key"),
    ("defaults", "key"),
    ("sip", "listen", "*", "transport"),
)


def find(path: Path | None) -> Path:
    """The configuration file: `path`, or the first that is there of those usually searched.

    Raises ConfigError where there is none.
    """
    if path is not None:
        return path
    for candidate in SEARCHED:
        if candidate.exists():
            return candidate
    first, *others = map(str, SEARCHED)
    nor = "".join(f", nor {other}" for other in others)
    text = f"there is no such file{nor}: {_WRITE_ONE}"
    raise ConfigError([Problem(first, 0, 0, "", text)])


def load(path: Path, environment: Mapping[str, str] | None = None) -> Config:
    """Reads and checks `path`. Raises ConfigError with every problem, sorted by place.

    `environment` is what `${NAME}` is taken from, the process's own by default. What is only worth
    a warning stands in the configuration's `warnings`.
    """
    return _Loading(path, environment).config()


class _Loading:
    """One reading of one file; problems gather in it."""

    def __init__(self, path: Path, environment: Mapping[str, str] | None) -> None:
        self._path = path
        self._environment = environment
        self._problems: list[Problem] = []
        self._warnings: list[Problem] = []
        self._root = tree.Mapping(tree.Place(1, 1), (), {})
        self._unread: frozenset[tuple[int, int]] = frozenset()

    def config(self) -> Config:
        folder = self._path.absolute().parent
        root, self._problems, self._warnings = document.read(
            self._text(), str(self._path), folder, self._environment
        )
        if root is None:
            raise ConfigError(self._problems)
        # A value that could not be read is reported once, whatever becomes of it later.
        self._unread = frozenset((one.line, one.column) for one in self._problems)
        self._root = _with_defaults(_without_empty(root))
        surroundings = _surroundings(self._root, folder)
        for pattern in _NO_KEYS:
            for path, _ in tree.matches(self._root, pattern):
                self._add(Finding(path, "unknown key: remove it", at_key=True))
        config = self._validated(surroundings)
        sections = _sections(self._root, config) if config else _salvaged(self._root, surroundings)
        for finding in check(sections):
            self._add(finding)
        if self._problems or config is None:
            raise ConfigError(sorted(self._problems, key=_order))
        warnings = tuple(sorted(self._warnings, key=_order))
        update: dict[str, object] = {"path": self._path, "warnings": warnings}
        if self._root.get("limits", "calls") is None:
            calls = min(config.limits.calls, len(config.rtp.ports.pairs))
            update["limits"] = config.limits.model_copy(update={"calls": calls})
        return config.model_copy(update=update)

    def _text(self) -> str:
        try:
            return self._path.read_text(encoding="utf-8-sig")
        except FileNotFoundError:
            text = f"there is no such file: {_WRITE_ONE}"
        except IsADirectoryError:
            text = "this is a folder: name the file in it"
        except PermissionError:
            text = "the file cannot be read: let this user read it (chmod, chown)"
        except OSError as error:
            text = f"the file cannot be read: {error.strerror}"
        except UnicodeDecodeError as error:
            before = error.object[: error.start]
            line, column = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
            text = (
                f"the byte 0x{error.object[error.start]:02x} is not UTF-8: save the file as UTF-8"
            )
            raise ConfigError([Problem(str(self._path), line, column, "", text)]) from None
        raise ConfigError([Problem(str(self._path), 0, 0, "", text)])

    def _validated(self, surroundings: Surroundings) -> Config | None:
        try:
            return Config.model_validate(tree.plain(self._root), context=surroundings)
        except ValidationError as invalid:
            for error in invalid.errors(include_url=False):
                path = error["loc"]
                _, _, value = tree.locate(self._root, path)
                if error["type"] == "too_short" and isinstance(value, tree.Items) and value.items:
                    continue  # its items are wrong, and each of them is reported
                unknown = error["type"] == "extra_forbidden"
                self._add(Finding(path, sentence(error, value), at_key=unknown))
            return None

    def _add(self, finding: Finding) -> None:
        place, path, value = tree.locate(self._root, finding.path)
        if isinstance(value, tree.Scalar) and not finding.at_key:
            place = value.place
        if (place.line, place.column) in self._unread:
            return
        problem = tree.problem(str(self._path), place, path, finding.text)
        known = self._warnings if finding.warning else self._problems
        if problem not in known:
            known.append(problem)


def _order(problem: Problem) -> tuple[int, int]:
    return problem.line, problem.column


def _without_empty(root: tree.Mapping) -> tree.Mapping:
    """Without those sections of which only the name is there."""
    entries = {
        key: entry
        for key, entry in root.entries.items()
        if key not in _MAY_BE_EMPTY or tree.plain(entry.value) is not None
    }
    return replace(root, entries=entries)


def _with_defaults(root: tree.Mapping) -> tree.Mapping:
    """Every mailbox with what it does not set itself: from `defaults`, and what the file says for
    all of them."""
    mailboxes, defaults = root.entries.get("mailboxes"), root.get("defaults")
    if mailboxes is None or not isinstance(mailboxes.value, tree.Mapping):
        return root
    shared = {key: root.entries[key] for key in _FOR_ALL if key in root.entries}
    base = tree.Mapping(root.place, root.path, shared)
    entries = dict(root.entries)
    if isinstance(defaults, tree.Mapping):
        base = tree.merge(base, _with_greeting(defaults))
        entries["defaults"] = replace(entries["defaults"], value=_in_its_language(base))
    merged = {
        name: replace(entry, value=_in_its_language(tree.merge(base, _with_greeting(entry.value))))
        if isinstance(entry.value, tree.Mapping)
        else entry
        for name, entry in mailboxes.value.entries.items()
    }
    whole = replace(mailboxes, value=replace(mailboxes.value, entries=merged))
    return replace(root, entries={**entries, "mailboxes": whole})


def _in_its_language(mailbox: tree.Mapping) -> tree.Mapping:
    """`{language}` in the paths of its sounds is the language of the mailbox."""
    written = mailbox.get("language")
    language = written.value if isinstance(written, tree.Scalar) else None

    def read(value: tree.Value) -> tree.Value:
        match value:
            case tree.Scalar(value=str(text)) if "{language}" in text:
                return replace(value, value=text.replace("{language}", str(language or "en")))
            case tree.Mapping():
                inside = {
                    key: replace(entry, value=read(entry.value))
                    for key, entry in value.entries.items()
                }
                return replace(value, entries=inside)
        return value

    sounds: dict[str, tree.Entry] = {
        key: replace(mailbox.entries[key], value=read(mailbox.entries[key].value))
        for key in ("greeting", "choice")
        if key in mailbox.entries
    }
    return replace(mailbox, entries={**mailbox.entries, **sounds}) if sounds else mailbox


def _with_greeting(mailbox: tree.Mapping) -> tree.Mapping:
    """`greeting: FILE` as `greeting: {default: FILE}`, so that it merges like one."""
    greeting = mailbox.entries.get("greeting")
    if greeting is None or not isinstance(greeting.value, tree.Scalar):
        return mailbox
    if greeting.value.value is None:
        return mailbox
    file = tree.Mapping(greeting.value.place, greeting.value.path, {"default": greeting})
    return replace(mailbox, entries={**mailbox.entries, "greeting": replace(greeting, value=file)})


def _surroundings(root: tree.Mapping, folder: Path) -> Surroundings:
    written = root.get("country")
    country = written.value if isinstance(written, tree.Scalar) else None
    if country is None:
        return Surroundings(folder, None, root.names("users"))
    from sipmail.config import numbers

    if country in numbers.countries():
        return Surroundings(folder, str(country), root.names("users"))
    return Surroundings(folder, None, root.names("users"), country_is_wrong=True)


def _sections(root: tree.Mapping, config: Config) -> Sections:
    return Sections(
        root=root,
        sip=config.sip,
        trunks=config.sip.trunks,
        rtp=config.rtp,
        mail=config.mail,
        limits=config.limits,
        routing=config.routing,
        mailboxes=config.mailboxes,
    )


def _salvaged(root: tree.Mapping, surroundings: Surroundings) -> Sections:
    """Of a file with mistakes, the sections that have none."""

    def section(kind: type[_S], value: tree.Value | None) -> _S | None:
        try:
            return kind.model_validate(tree.plain(value) if value else {}, context=surroundings)
        except ValidationError:
            return None

    def named(kind: type[_S], value: tree.Value | None) -> dict[str, _S]:
        if not isinstance(value, tree.Mapping):
            return {}
        read = {name: section(kind, entry.value) for name, entry in value.entries.items()}
        return {name: one for name, one in read.items() if one is not None}

    return Sections(
        root=root,
        sip=section(Sip, root.get("sip")),
        trunks=named(Trunk, root.get("sip", "trunks")),
        rtp=section(Rtp, root.get("rtp")),
        mail=section(Mail, root.get("mail")),
        limits=section(Limits, root.get("limits")),
        mailboxes=named(Mailbox, root.get("mailboxes")),
    )
