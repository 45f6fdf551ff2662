"""`sipmail demo`, as a newcomer runs it: one real call, one e-mail that holds the spoken sample."""

from __future__ import annotations

import email
import email.policy
import io
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

ROOT = Path(__file__).resolve().parents[2]


def demo(folder: Path, language: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sipmail", "demo", "--dir", str(folder), "--language", language],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=150,
        check=False,
    )


@pytest.mark.parametrize("language", ["en", "pl"])
def test_the_demo_ends_with_an_email_that_carries_the_sample(tmp_path: Path, language: str) -> None:
    ran = demo(tmp_path / "demo", language)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    path = Path(ran.stdout.rstrip().rpartition(": ")[2])
    assert path.parent == (tmp_path / "demo" / "mail" / "new").resolve()
    assert len(list(path.parent.iterdir())) == 1
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert len(message["To"].addresses) == 3
    (audio,) = (part for part in message.walk() if part.get_content_maintype() == "audio")
    content = audio.get_payload(decode=True)
    assert isinstance(content, bytes)
    samples, rate = soundfile.read(io.BytesIO(content))
    spoken = soundfile.info(ROOT / "greetings" / language / "sample.wav").duration
    assert abs(len(samples) / rate - spoken) < 1.5
    assert abs(samples).max() > 0.05, "the recording is silent"


def test_a_second_demo_writes_over_the_first_and_over_nothing_else(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "sipmail.yaml").write_text("language: en\n")
    ran = demo(other, "en")
    assert ran.returncode == 1
    assert "holds something else" in ran.stderr
    assert [path.name for path in other.iterdir()] == ["sipmail.yaml"]
