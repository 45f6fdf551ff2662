"""Live journals: synced when they grew, and only then."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sipmail.spool import journals
from sipmail.spool.journals import JournalSync
from sipmail.spool.spool import AUDIO, Spool
from tests.spool.conftest import a_message


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The folders whose journals were synced, in order."""
    names: list[str] = []
    original = os.fdatasync

    def fdatasync(fd: int) -> None:
        names.append(Path(f"/proc/self/fd/{fd}").readlink().parent.name)
        original(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    return names


def test_what_grew_is_synced(spool: Spool, synced: list[str]) -> None:
    sync = JournalSync(spool.root)
    assert sync.round() == 0
    one = spool.begin(a_message(id="one")) / AUDIO
    spool.begin(a_message(id="two"))
    one.write_bytes(b"x")
    assert (sync.round(), synced) == (1, ["one"])
    assert sync.round() == 0
    with one.open("ab") as file:
        file.write(b"y")
    assert (sync.round(), synced) == (1, ["one", "one"])
    spool.finish(a_message(id="one"))
    assert sync.round() == 0


def test_many_are_synced_at_once(
    spool: Spool, synced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "_MANY", 2)
    for name in ("a", "b", "c"):
        (spool.begin(a_message(id=name)) / AUDIO).write_bytes(b"x")
    sync = JournalSync(spool.root)
    assert sync.round() == 3
    assert synced == []
    assert sync.round() == 0


def test_an_error_is_logged_and_tried_again(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(fd: int) -> None:
        raise OSError(5, "Input/output error")

    (spool.begin(a_message(id="one")) / AUDIO).write_bytes(b"x")
    sync = JournalSync(spool.root)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", broken)
        sync.round()
    assert "Input/output error" in caplog.text
    assert sync.round() == 1


def test_no_spool_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sync = JournalSync(tmp_path / "nowhere")
    assert [sync.round() for _ in range(3)] == [0, 0, 0]
    assert caplog.text.count("could not be synced: [Errno 2]") == 1
    (tmp_path / "nowhere" / "recording").mkdir(parents=True)
    sync.round()
    (tmp_path / "nowhere" / "recording").rmdir()
    sync.round()
    assert caplog.text.count("could not be synced: [Errno 2]") == 2


def test_a_message_that_goes_on_meanwhile_is_no_error(
    spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (spool.begin(a_message(id="one")) / AUDIO).write_bytes(b"x")

    def finishing(fd: int) -> None:
        spool.finish(a_message(id="one"))

    monkeypatch.setattr(os, "fdatasync", finishing)
    assert JournalSync(spool.root).round() == 1
    assert caplog.text == ""
