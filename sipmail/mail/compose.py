"""The e-mail about a call, as bytes that a mail server takes as they are.

Rules:
- From is always the configured address; all recipients stand in To; nothing that a caller controls
  reaches a header unless it is cleaned, encoded and folded.
- Message-ID is the one that was written down with the message, the same over every retry; `Date`
  is when the caller called, so that a delayed e-mail stands where it belongs.
- The structure is mixed(related(alternative(text, html), picture), recording), each level only
  where it has something to hold.
- Nothing is loaded from elsewhere: no external picture, style or script.

RFC 5322, 2045 to 2047, 2387 (related), 2392 (cid), 3458 (Message-Context), 3803
(Content-Duration), 3834 (Auto-Submitted).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from email.utils import format_datetime
from functools import cache
from pathlib import Path

from jinja2 import FileSystemLoader, StrictUndefined, Template, select_autoescape
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sipmail.config.model import Config, Mailbox
from sipmail.config.values import Address
from sipmail.mail import mime, own_words
from sipmail.mail.deliver import one_line
from sipmail.mail.view import Attachment as Attachment
from sipmail.mail.view import View, caller, thread_id, view
from sipmail.spool.message import Message


def compose(
    message: Message,
    mailbox: Mailbox,
    config: Config,
    audio: Attachment | None,
    recipients: Sequence[Address],
) -> bytes:
    """The e-mail about a recorded message, or (without `audio`) about a missed call.

    The same arguments give the same bytes.
    """
    return composed(message, mailbox, config, audio, recipients)[0]


def composed(
    message: Message,
    mailbox: Mailbox,
    config: Config,
    audio: Attachment | None,
    recipients: Sequence[Address],
) -> tuple[bytes, str]:
    """The e-mail, and what is wrong with the mailbox's own templates: then the built-in words are
    used."""
    shown = view(message, mailbox, audio, recipients)
    wrong = ""
    picture = audio.waveform if audio is not None else None
    domain = _domain(config)
    cid = f"waveform.{message.id}@{domain}"
    mark = hashlib.sha256(message.id.encode()).hexdigest()[:24]
    own_text, own_html = None, None
    try:
        shown = replace(shown, subject=own_words.subject(mailbox, shown))
        values = own_words.variables(shown, f"cid:{cid}" if picture else "", shown.subject)
        own_text, own_html = own_words.body(mailbox, values)
    except own_words.Failed as error:
        wrong = one_line(str(error))
    context = {**_context(shown), "cid": cid if picture else ""}
    text = own_text or _template("message.txt.j2").render(context)
    html = own_html or _template("message.html.j2").render(context)
    content = mime.multipart(
        "alternative",
        f"=_{mark}_1",
        (mime.text(text, "plain"), mime.text(html, "html")),
    )
    if picture is not None:
        drawn = mime.binary(
            picture,
            (
                ("Content-Type", 'image/png; name="waveform.png"'),
                ("Content-ID", f"<{cid}>"),
                ("Content-Disposition", 'inline; filename="waveform.png"'),
            ),
        )
        content = mime.multipart(
            "related", f"=_{mark}_2", (content, drawn), start="multipart/alternative"
        )
    if audio is not None:
        content = mime.multipart("mixed", f"=_{mark}_3", (content, _recording(audio, shown)))
    headers = _envelope(message, config, recipients, shown.subject, reply_to=mailbox.reply_to or "")
    headers += _about_call(message, mailbox, domain, recorded=audio is not None)
    return mime.message(headers, content), wrong


def compose_notice(message: Message, config: Config, recipients: Sequence[Address]) -> bytes:
    """A word to the administrator (`Kind.NOTICE`): plain text, its words are those of the notice.

    Raises ValueError for a message that holds none.
    """
    if message.notice is None:
        raise ValueError(f"message {message.id} holds no notice")
    headers = _envelope(message, config, recipients, message.notice.subject)
    headers.append(mime.header("X-Sipmail-ID", message.id))
    return mime.message(headers, mime.text(message.notice.text, "plain"))


def _envelope(
    message: Message,
    config: Config,
    recipients: Sequence[Address],
    subject: str,
    reply_to: str = "",
) -> list[tuple[str, str]]:
    """The headers of every e-mail that sipmail sends."""
    message_id = message.delivery.message_id or f"<{message.id}@{_domain(config)}>"
    if not message_id.startswith("<"):
        message_id = f"<{message_id}>"
    headers = [
        mime.addresses("From", (config.mail.from_,)),
        mime.addresses("To", recipients),
        mime.header("Subject", subject),
        ("Date", format_datetime(message.received.astimezone(config.timezone))),
        ("Message-ID", message_id),
    ]
    if reply_to:
        headers.append(mime.addresses("Reply-To", (Address("", reply_to),)))
    # The second keeps Exchange from answering with "I am on holiday".
    headers += [("Auto-Submitted", "auto-generated"), ("X-Auto-Response-Suppress", "All")]
    return headers


def _about_call(
    message: Message, mailbox: Mailbox, domain: str, *, recorded: bool
) -> list[tuple[str, str]]:
    headers = [mime.header("X-Sipmail-ID", message.id)]
    if recorded:
        headers.append(("Message-Context", "voice-message"))
    if message.urgent:
        headers += [("Importance", "high"), ("X-Priority", "1")]
    thread = thread_id(message, domain)
    if thread is not None:
        headers.append(("References", thread))
    number, name = caller(message)
    if message.caller.withheld:
        number = "anonymous"
    headers += [
        mime.header("X-Sipmail-Mailbox", mailbox.key),
        mime.header("X-Sipmail-Caller", number or name or "unknown"),
    ]
    return headers


def _recording(audio: Attachment, shown: View) -> mime.Part:
    return mime.binary(
        audio.data,
        (
            ("Content-Type", f'{audio.mime};\r\n name="{shown.file_name}"'),
            ("Content-Disposition", f'attachment;\r\n filename="{shown.file_name}"'),
            ("Content-Duration", str(max(1, round(audio.duration)))),
        ),
    )


def _context(shown: View) -> dict[str, object]:
    """What the templates know: plain values under names of their own, which the sandbox need not
    look into one by one."""
    words = shown.words
    return {
        "language": shown.language,
        "subject": shown.subject,
        "preheader": shown.preheader,
        "kind": shown.kind,
        "urgent": shown.facts_by_name["urgent"],
        "who": shown.who,
        "length": shown.length,
        "caller": shown.caller,
        "facts": shown.facts,
        "widest": max(len(row.label) for row in shown.caller + shown.facts),
        "remarks": shown.remarks,
        "number": shown.number,
        "country": shown.country,
        "call_link": shown.call_link,
        "call_back_link": shown.call_back_link,
        "file_name": shown.file_name,
        "call": words.call,
        "call_back": words.call_back,
        "call_back_hint": words.call_back_hint,
        "answer_all": words.answer_all,
        "attached": words.attached,
        "waveform": words.waveform,
        "attention": words.attention,
        "no_message_left": words.no_message_left,
    }


def _domain(config: Config) -> str:
    return config.mail.from_.email.rpartition("@")[2] or "localhost"


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )


@cache
def _template(name: str) -> Template:
    return _environment().get_template(name)
