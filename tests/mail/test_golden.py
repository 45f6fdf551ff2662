"""E-mails that people have looked at: as bytes, and as the text and HTML that they hold.

A person renders the HTML at 360 and 1,000 pixels, light and dark, before a golden file changes.
`python -m tests.mail.test_golden` writes the files anew from what is composed now.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sipmail.mail.compose import Attachment, compose_notice
from sipmail.spool.message import Caller, Kind, Notice
from tests.mail.post import (
    CONFIG,
    MESSAGE,
    PNG,
    READERS,
    called_by,
    html_of,
    read,
    text_of,
    written,
)

GOLDEN = Path(__file__).parent / "golden"
SOUND = Attachment(b"not a real recording", "audio/mpeg", "mp3", 42.3, waveform=PNG)
MISSED = replace(MESSAGE, kind=Kind.MISSED, recorded=False, duration=None)
NOTICE = Notice("failed", "Nie dostarczono wiadomości", "jan@example.com: 550 5.1.1 no such user")

CASES = {
    "pl_message": written(audio=SOUND),
    "pl_interrupted_withheld": written(
        replace(
            MESSAGE, caller=Caller(withheld=True), ending="interrupted", reason="busy", urgent=True
        ),
        replace(SOUND, duration=125.0, lost=0.08),
    ),
    "pl_missed": written(MISSED, None),
    "pl_folded": written(
        replace(MISSED, repeats=tuple(MISSED.received + timedelta(minutes=m) for m in (2, 4, 840))),
        None,
    ),
    "pl_urgent_on_a_bad_line": written(
        replace(MESSAGE, urgent=True, ending="max"),
        replace(SOUND, duration=125.0, lost=0.08, smaller=True),
    ),
    "pl_extension": written(
        called_by("205", "Recepcja", called="201", reason="unknown"),
        replace(SOUND, waveform=None, duration=1.0),
        READERS[:1],
        reply_to=None,
    ),
    "en_message": written(
        called_by("+447400123456", "Tom Hardy-Smythe", reason="unavailable"),
        SOUND,
        language="en",
        name="Sales",
    ),
    "en_missed": written(
        replace(MISSED, caller=Caller("+491701234567"), reason="unconditional"),
        None,
        language="en",
        name="Sales",
    ),
    "en_hostile_name": written(
        called_by("+48600123456", "<script>alert(1)</script> " + "W" * 1000),
        SOUND,
        language="en",
        name="Sales",
    ),
    "en_right_to_left": written(
        called_by("+972501234567", "שרה כהן"), SOUND, language="en", name="Sales"
    ),
    "notice": compose_notice(
        replace(MESSAGE, kind=Kind.NOTICE, notice=NOTICE), CONFIG, READERS[:1]
    ),
}


def files(name: str) -> dict[str, bytes]:
    """The golden files of one case and what they must hold."""
    data = CASES[name]
    message = read(data)
    found = {f"{name}.eml": data, f"{name}.txt": text_of(message).encode()}
    if message.is_multipart():
        found[f"{name}.html"] = html_of(message).encode()
    return {file: content.replace(b"\r\n", b"\n") for file, content in found.items()}


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    for file, content in files(name).items():
        assert (GOLDEN / file).read_bytes() == content, file


def test_no_golden_file_is_left_over() -> None:
    wanted = {file for name in CASES for file in files(name)}
    assert {path.name for path in GOLDEN.iterdir()} == wanted


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for case in CASES:
        for file, content in files(case).items():
            (GOLDEN / file).write_bytes(content)
