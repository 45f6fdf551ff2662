"""`sipmail demo`, as a newcomer runs it: one real call, one e-mail that holds the spoken sample."""

from __future__ import annotations

import email
import email.policy
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from sipmail.agent.prompts import prepare_all
from sipmail.cli.demo import Language, prepare, spoken_sample
from sipmail.config.loader import load

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[2]


def demo(folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sipmail", "demo", "--dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", **environment},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=150,
        check=False,
    )


@pytest.mark.long
def test_the_demo_ends_with_an_email_that_carries_the_sample(tmp_path: Path) -> None:
    """In Polish, as where LANG says so; the next test looks at what differs in English."""
    ran = demo(tmp_path / "demo", LC_ALL="pl_PL.UTF-8")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    path = Path(ran.stdout.rstrip().rpartition(": ")[2])
    assert path.parent == (tmp_path / "demo" / "mail" / "new").resolve()
    assert len(list(path.parent.iterdir())) == 1
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    text = message.get_body(("plain",))
    assert text is not None
    assert "Nowa wiadomość głosowa" in text.get_content()
    assert len(message["To"].addresses) == 3
    (audio,) = (part for part in message.walk() if part.get_content_maintype() == "audio")
    content = audio.get_payload(decode=True)
    assert isinstance(content, bytes)
    samples, rate = soundfile.read(io.BytesIO(content))
    spoken = soundfile.info(ROOT / "greetings" / "pl" / "sample.wav").duration
    assert abs(len(samples) / rate - spoken) < 1.5
    assert abs(samples).max() > 0.05, "the recording is silent"


@pytest.mark.parametrize("language", list(Language))
def test_each_language_has_its_configuration_and_its_sample(
    tmp_path: Path, language: Language
) -> None:
    address, file = prepare(tmp_path, language)
    config = load(file)
    assert config.warnings == ()
    assert config.language == language
    (listen,) = config.sip.listen
    assert address == f"sip:201@127.0.0.1:{listen.port}"
    (mailbox,) = config.mailboxes.values()
    assert mailbox.language == language
    greetings = prepare_all(config, tmp_path / "prompts")
    assert ROOT / "sipmail" / "greetings" / language / "default.wav" in greetings
    with spoken_sample(language) as path:
        samples, rate = soundfile.read(path)
    assert len(samples) / rate > 5
    assert abs(samples).max() > 0.05, "the sample is silent"


def test_a_second_demo_writes_over_the_first_and_over_nothing_else(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "sipmail.yaml").write_text("language: en\n")
    ran = demo(other)
    assert ran.returncode == 1
    assert "holds something else" in ran.stderr
    assert [path.name for path in other.iterdir()] == ["sipmail.yaml"]
