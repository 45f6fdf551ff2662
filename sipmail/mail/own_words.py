"""E-mails in a company's own words: the templates of `subject:` and `body:`, filled in.

`config.templates` says what they may name, and found mistakes when the configuration was read.
What still goes wrong (a file that was changed, a division by nothing) must not hold up a message:
`Failed` is raised, and the built-in words are used in its place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from jinja2 import Template
from markupsafe import escape

from sipmail.config.model import Mailbox
from sipmail.config.templates import environment
from sipmail.errors import SipmailError
from sipmail.mail.view import View

_LONGEST_SUBJECT = 500
_LONGEST_BODY = 1 << 20
_LINK = re.compile(r"\b(?:https?://|mailto:|tel:\+?)[^\s<>\"']+[^\s<>\"'.,;:!?)]")
_PAGE = """<!DOCTYPE html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<style>
:root {{ color-scheme: light dark; supported-color-schemes: light dark; }}
@media (prefers-color-scheme: dark) {{
  .page {{ background-color: #14171c !important; color: #eef1f4 !important; }}
  .page a {{ color: #8fbcff !important; }}
}}
</style>
</head>
<body class="page" style="margin: 0; padding: 20px; background-color: #ffffff; color: #17202b; \
font-family: -apple-system, BlinkMacSystemFont, 'Segoe UI', \
Roboto, Helvetica, Arial, sans-serif; font-size: 16px; line-height: 24px;">
<div style="max-width: 600px; overflow-wrap: anywhere;">
{text}
{picture}</div>
</body>
</html>
"""


class Failed(SipmailError):
    """A template could not be filled in; the text says which, and why."""


def variables(view: View, waveform: str, subject: str) -> dict[str, object]:
    """What the templates know: `config.templates.VARIABLES`, each with its value.

    `waveform` is the address of the picture, `subject` what stands there already.
    """
    return {**view.facts_by_name, "waveform": waveform, "subject": subject}


def subject(mailbox: Mailbox, view: View) -> str:
    """The subject in the mailbox's own words, or the built-in one. Raises Failed."""
    if mailbox.subject is None:
        return view.subject
    text = _filled("subject", _template(mailbox.subject, False), variables(view, "", view.subject))
    text = " ".join(text.split())
    if not text or len(text) > _LONGEST_SUBJECT:
        raise Failed(f"subject: gives {len(text)} characters")
    return text


def body(mailbox: Mailbox, values: Mapping[str, object]) -> tuple[str | None, str | None]:
    """Text and HTML in the mailbox's own words; None where the built-in one is to be used.

    Raises Failed.
    """
    own = mailbox.body
    if own is None:
        return None, None
    text = _file("body.text", own.text, values, html=False)
    html = _file("body.html", own.html, values, html=True)
    return text, html or (None if text is None else page(text, values))


def page(text: str, values: Mapping[str, object]) -> str:
    """HTML that shows `text`: its lines, its links, and the picture of the recording."""
    shown = []
    end = 0
    for found in _LINK.finditer(text):
        link = escape(found[0])
        shown += [escape(text[end : found.start()]), f'<a href="{link}">{link}</a>']
        end = found.end()
    lines = "".join([*map(str, shown), str(escape(text[end:]))]).strip().splitlines()
    picture = escape(str(values["waveform"]))
    image = f'<p><img src="{picture}" alt="" style="max-width: 100%;"></p>\n' if picture else ""
    return _PAGE.format(
        language=escape(str(values["language"])), text="<br>\n".join(lines), picture=image
    )


def _file(key: str, path: Path | None, values: Mapping[str, object], *, html: bool) -> str | None:
    if path is None:
        return None
    try:
        status = path.stat()
        template = _template_in(path, html, status.st_mtime_ns, status.st_size)
    except Exception as error:
        raise Failed(f"{key}: {path}: {error}") from error
    text = _filled(f"{key}: {path}", template, values)
    if not text.strip():
        raise Failed(f"{key}: {path} gives nothing")
    return text


def _filled(what: str, template: Template, values: Mapping[str, object]) -> str:
    pieces: list[str] = []
    size = 0
    try:
        for piece in template.generate(values):
            pieces.append(piece)
            size += len(piece)
            if size > _LONGEST_BODY:
                raise Failed(f"{what} gives too much text")
    except Failed:
        raise
    except Exception as error:  # whatever a template may do
        raise Failed(f"{what}: {error}") from error
    return "".join(pieces)


@lru_cache(maxsize=64)
def _template(text: str, html: bool) -> Template:
    return environment(html=html).from_string(text)


@lru_cache(maxsize=64)
def _template_in(path: Path, html: bool, changed: int, size: int) -> Template:
    """The template in a file as it was when it had this time and size."""
    return environment(html=html).from_string(path.read_text(encoding="utf-8"))
