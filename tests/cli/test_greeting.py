"""`sipmail greeting`: what each mailbox plays, and new greetings from recordings and from text."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from sipmail.audio.greeting import read
from sipmail.audio.prompt import decode, prepare
from sipmail.audio.speech import analyse
from sipmail.codecs import g711
from sipmail.voicemail.greeting import built_in
from tests.cli.conftest import Sipmail, Site

BUSY = built_in("pl", "busy")
"""A spoken recording, as good as any."""

ALWAYS = "24/7"
NEVER = "off"


def sales(**changes: object) -> dict[str, object]:
    return {"mailboxes": {"sales": changes}}


def table(out: str) -> list[list[str]]:
    """The lines of the table as words, without its head and what stands below it."""
    return [line.split() for line in out.partition("\n\n")[0].splitlines()[1:]]


def test_the_built_in_ones_of_the_language(site: Site, sipmail: Sipmail) -> None:
    site(**sales(language="pl"))
    result = sipmail("greeting", "list")
    assert result.status == 0
    rows = table(result.out)
    assert [row[:5] for row in rows] == [
        ["sales", "default", "built", "in", "(pl)"],
        ["busy", "built", "in", "(pl)", rows[1][4]],
        ["no_answer", "built", "in", "(pl)", rows[2][4]],
        ["unavailable", "built", "in", "(pl)", rows[3][4]],
    ]
    assert "record your own with `sipmail greeting import`" in result.out


def test_an_own_greeting_beats_the_built_in_ones(site: Site, sipmail: Sipmail) -> None:
    Path("greetings").mkdir()
    soundfile.write("greetings/ours.wav", decode(BUSY)[:16000], 8000)
    soundfile.write("greetings/shut.flac", decode(BUSY)[:12000], 8000)
    greeting = {"default": "greetings/ours.wav", "closed": "greetings/shut.flac"}
    site(**sales(greeting=greeting, hours=NEVER))
    lines = json.loads(sipmail("greeting", "list", "--json").out)
    played = {line["case"]: (Path(line["file"]).name, line["now"]) for line in lines}
    assert played == {
        "default": ("ours.wav", False),
        "busy": ("ours.wav", False),
        "no_answer": ("ours.wav", False),
        "unavailable": ("ours.wav", False),
        "closed": ("shut.flac", True),
    }
    assert [line["duration"] for line in lines] == [2.0, 2.0, 2.0, 2.0, 1.5]
    assert not any(line["built_in"] for line in lines)


def test_a_greeting_recorded_by_phone_beats_the_configured_one(
    site: Site, sipmail: Sipmail
) -> None:
    Path("greetings").mkdir()
    soundfile.write("greetings/ours.wav", decode(BUSY)[:16000], 8000)
    by_phone = Path("spool/greetings/sales.wav")
    by_phone.parent.mkdir(parents=True)
    soundfile.write(by_phone, decode(BUSY)[:12000], 8000)
    site(**sales(greeting="greetings/ours.wav", greeting_number="298", greeting_pin="4829"))
    lines = json.loads(sipmail("greeting", "list", "--json").out)
    assert {line["file"] for line in lines} == {str(by_phone.absolute())}


@pytest.mark.parametrize(("hours", "closed"), [(ALWAYS, False), (NEVER, True)])
def test_what_is_played_now(site: Site, sipmail: Sipmail, hours: str, closed: bool) -> None:
    site(**sales(hours=hours))
    now = {line["case"]: line["now"] for line in json.loads(sipmail("greeting", "--json").out)}
    assert now.pop("closed") is closed
    assert set(now.values()) == {not closed}


def test_a_file_that_cannot_be_played(site: Site, sipmail: Sipmail) -> None:
    Path("ours.wav").write_text("no sound")
    site(**sales(greeting="ours.wav"))
    result = sipmail("greeting", "list")
    assert result.status == 1
    assert result.out.count("ours.wav: is no sound file that can be read") == 1


def test_import(site: Site, sipmail: Sipmail) -> None:
    site()
    loud = np.repeat(decode(BUSY), 2)
    silence = np.zeros(16000, np.int16)
    soundfile.write("raw.flac", np.concatenate((silence, loud, silence)), 16000)
    result = sipmail("greeting", "import", "raw.flac", "--mailbox", "sales")
    assert result.status == 0
    first, use, _, *lines = result.out.splitlines()
    assert first.startswith("greetings/sales.wav: ")
    assert first.endswith(" s, at the usual level")
    assert use.startswith("To use it, write in ")
    assert yaml.safe_load("\n".join(lines)) == {
        "mailboxes": {"sales": {"greeting": "greetings/sales.wav"}}
    }
    samples, rate = soundfile.read("greetings/sales.wav", dtype="int16")
    assert rate == 8000
    spoken = len(loud) / 16000
    assert spoken - 1 < len(samples) / rate < spoken + 0.7  # the two seconds of silence are gone


def test_what_is_printed_switches_it_on(site: Site, sipmail: Sipmail) -> None:
    Path("old greeting.wav").write_bytes(BUSY.read_bytes())
    site(**sales(greeting="old greeting.wav", hours=NEVER))
    result = sipmail("greeting", "import", BUSY, "-m", "sales", "--case", "closed")
    lines = yaml.safe_load(result.out.partition(":\n\n")[2])
    assert lines["mailboxes"]["sales"]["greeting"] == {
        "default": "old greeting.wav",
        "closed": "greetings/sales-closed.wav",
    }
    site(**{**lines, "mailboxes": {"sales": {**lines["mailboxes"]["sales"], "hours": NEVER}}})
    listed = json.loads(sipmail("greeting", "list", "--json").out)
    assert Path(listed[-1]["file"]) == Path("greetings/sales-closed.wav").absolute()
    again = sipmail("greeting", "import", BUSY, "-m", "sales", "--case", "closed", "--force")
    assert "names it already: reload sipmail" in again.out


def test_a_temporary_greeting(site: Site, sipmail: Sipmail) -> None:
    Path("old.wav").write_bytes(BUSY.read_bytes())
    site(**sales(greeting="old.wav"))
    result = sipmail(
        *("greeting", "import", BUSY, "-m", "sales", "--case", "temporary"),
        *("--until", "2999-12-27"),
    )
    assert result.status == 0
    written = yaml.safe_load(result.out.partition(":\n\n")[2])
    greeting = written["mailboxes"]["sales"]["greeting"]
    assert greeting == {
        "temporary": {"file": "greetings/sales-temporary.wav", "until": "2999-12-27"},
        "default": "old.wav",
    }
    site(**sales(greeting=greeting))
    now = {
        line["case"]: (Path(line["file"]).name, line["now"])
        for line in json.loads(sipmail("greeting", "list", "--json").out)
    }
    assert now["temporary"] == ("sales-temporary.wav", True)
    assert now["default"] == ("old.wav", False)
    another = sipmail("greeting", "import", BUSY, "-m", "sales", "--case", "busy")
    assert "      # temporary: stays as it is\n" in another.out
    greeting["temporary"]["until"] = "2020-01-01"
    site(**sales(greeting=greeting))
    over = json.loads(sipmail("greeting", "list", "--json").out)
    assert [line["case"] for line in over if line["now"]] == [
        *("default", "busy", "no_answer", "unavailable")
    ]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--case", "temporary"), "a temporary greeting has an end"),
        (("--until", "2026-12-27"), "a temporary greeting has an end"),
        (("--case", "temporary", "--until", "Friday"), "--until: 'Friday' is no date"),
    ],
)
def test_when_a_temporary_greeting_ends(
    site: Site, sipmail: Sipmail, options: tuple[str, ...], why: str
) -> None:
    site()
    result = sipmail("greeting", "import", BUSY, "-m", "sales", *options)
    assert result.status == 2
    assert why in result.err
    assert not Path("greetings").exists()


def test_callers_hear_the_file_as_it_is(tmp_path: Path) -> None:
    greeting = read(BUSY)
    file = tmp_path / "imported.wav"
    file.write_bytes(greeting.wav())
    heard = g711.decode_alaw(
        np.fromfile(prepare(file, tmp_path / "cache").stem.with_suffix(".alaw"), np.uint8)
    )
    assert len(heard) == len(greeting.samples)
    difference = analyse(heard).level - analyse(greeting.samples).level
    assert abs(difference) < 0.3


def test_an_existing_greeting_is_not_written_over(site: Site, sipmail: Sipmail) -> None:
    site()
    assert sipmail("greeting", "import", BUSY, "-m", "sales").status == 0
    before = Path("greetings/sales.wav").read_bytes()
    result = sipmail("greeting", "import", built_in("pl", "closed"), "-m", "sales")
    assert result.status == 1
    assert "is there already: --force writes over it" in result.err
    assert Path("greetings/sales.wav").read_bytes() == before


def test_a_wrong_mailbox_or_file(site: Site, sipmail: Sipmail) -> None:
    site()
    result = sipmail("greeting", "import", BUSY, "-m", "sale")
    assert (result.status, result.err) == (
        2,
        "sipmail: there is no mailbox 'sale': there are sales\n",
    )
    result = sipmail("greeting", "import", "nothing.wav", "-m", "sales")
    assert result.status == 1
    assert "nothing.wav: cannot be read (No such file or directory)" in result.err
    assert not Path("greetings").exists()


def tone(seconds: float, amplitude: float = 8000.0) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * 440 * np.arange(round(seconds * 8000)) / 8000)


def remarks(tmp_path: Path, samples: np.ndarray) -> tuple[str, ...]:
    file = tmp_path / "recorded.wav"
    soundfile.write(file, np.clip(samples, -32768, 32767).astype(np.int16), 8000)
    return read(file).remarks


def test_remarks(tmp_path: Path) -> None:
    spoken = decode(BUSY).astype(np.float64)
    assert remarks(tmp_path, spoken) == ()
    assert remarks(tmp_path, tone(2.0)) == (
        "no speech was found in it: listen to it before you use it",
    )
    assert "many callers hang up" in remarks(tmp_path, np.tile(spoken, 10))[0]
    assert "it is overdriven" in remarks(tmp_path, spoken * 30)[-1]
    assert "it is very quiet" in remarks(tmp_path, spoken / 60)[0]
    noise = np.random.default_rng(1).normal(0, 800, len(spoken))
    assert "there is noise behind the voice" in remarks(tmp_path, spoken + noise)[0]


def fake_speech(folder: Path) -> str:
    """A command that speaks: it writes what it was told beside a recording."""
    program = folder / "speaker.py"
    program.write_text(
        "import shutil, sys, pathlib\n"
        "file, language, *text = sys.argv[1:]\n"
        f"pathlib.Path({str(folder / 'told.txt')!r}).write_text(\n"
        "    language + ': ' + (text[0] if text else sys.stdin.read()))\n"
        f"shutil.copy({str(BUSY)!r}, file)\n"
    )
    return f"{sys.executable} {program} {{file}} {{language}}"


def test_say(site: Site, sipmail: Sipmail, tmp_path: Path) -> None:
    site(**sales(language="pl"))
    command = fake_speech(tmp_path)
    text = "Dzień dobry; $(rm -rf /)"
    result = sipmail("greeting", "say", text, "-m", "sales", "--command", command)
    assert result.status == 0
    assert result.out.startswith("greetings/sales.wav: ")
    assert (tmp_path / "told.txt").read_text() == f"pl: {text}"
    result = sipmail(
        *("greeting", "say", text, "-m", "sales", "--language", "en", "--force"),
        *("--command", f"{command} {{text}}"),
    )
    assert result.status == 0
    assert (tmp_path / "told.txt").read_text() == f"en: {text}"


def test_the_program_of_the_configuration(site: Site, sipmail: Sipmail, tmp_path: Path) -> None:
    site(speech=f"{fake_speech(tmp_path)} {{text}}", **sales(language="pl"))
    assert sipmail("greeting", "say", "Dzień dobry.", "-m", "sales").status == 0
    assert (tmp_path / "told.txt").read_text() == "pl: Dzień dobry."
    other = ("greeting", "say", "x", "-m", "sales", "--force", "--command", "true {file}")
    assert "true has made no sound" in sipmail(*other).err


@pytest.mark.interop
@pytest.mark.parametrize("language", ["pl", "en"])
def test_espeak_speaks(
    site: Site, sipmail: Sipmail, program: Callable[[str], str], language: str
) -> None:
    program("espeak-ng")
    site(**sales(language=language))
    result = sipmail("greeting", "say", "Bonjour. One, two, three, four, five.", "-m", "sales")
    assert (result.status, result.err) == (0, "")
    assert 1.5 < soundfile.info("greetings/sales.wav").duration < 8


def test_a_program_that_writes_to_stdout(site: Site, sipmail: Sipmail) -> None:
    site()
    result = sipmail("greeting", "say", "x", "-m", "sales", "--command", f"cat {BUSY}")
    assert result.status == 0
    assert Path("greetings/sales.wav").is_file()


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("no-such-program {file}", "no-such-program cannot be run: No such file"),
        ("sh -c 'echo no voice >&2; exit 3' {file}", "sh failed: no voice"),
        ("true {file}", "true has made no sound"),
        ("'", "cannot be read: No closing quotation"),
    ],
)
def test_a_program_that_fails(site: Site, sipmail: Sipmail, command: str, why: str) -> None:
    site()
    result = sipmail("greeting", "say", "x", "-m", "sales", "--command", command)
    assert result.status == 1
    assert why in result.err
    assert not Path("greetings").exists()


def test_without_a_program(site: Site, sipmail: Sipmail, monkeypatch: pytest.MonkeyPatch) -> None:
    site()
    monkeypatch.setenv("PATH", "/nowhere")
    result = sipmail("greeting", "say", "x", "-m", "sales")
    assert result.status == 1
    assert "no speech program is installed: install espeak-ng" in result.err
    assert sipmail("greeting", "say", "  ", "-m", "sales").status == 2
