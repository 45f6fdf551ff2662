"""A spool whose disk is full: calls are refused in time, and what was recorded is mailed later.

The disk is a tmpfs of a few megabytes that the test mounts. Where nobody may mount (a container
without that right) the kernel's limit on the size of a file stands in for the end of the disk.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.conftest import StartAgent
from tests.e2e.conftest import own_number, short_sections, wait_mail
from tests.e2e.telephone import STEP, body, decoded, recording, same, until
from tests.e2e.test_delivery import sipmail
from tests.e2e.test_kill import MEDIA
from tests.e2e.test_signals import Monologue, begin
from tests.support.agent import Agent
from tests.support.caller import Caller, CallFailed
from tests.support.smtp import SmtpServer

pytestmark = pytest.mark.e2e

_MEGABYTES = 6
_REQUIRED = os.environ.get("SIPMAIL_REQUIRE_INTEROP") == "1"
_MOST_LATE_SECONDS = 1.0


@dataclass
class SmallDisk:
    """A folder on a disk of its own. `fill` leaves so many bytes free, `release` frees it all."""

    folder: Path
    _ballast: list[Path] = field(default_factory=list)

    def fill(self, leave: int = 0) -> None:
        """Until no more than `leave` bytes are free; what frees up meanwhile is taken too."""
        ballast = self.folder / f"ballast{len(self._ballast)}"
        self._ballast.append(ballast)
        with ballast.open("wb", buffering=0) as file:
            for step in (65536, 4096):
                with contextlib.suppress(OSError):
                    while shutil.disk_usage(self.folder).free >= leave + step:
                        file.write(bytes(step))

    def release(self) -> None:
        for ballast in self._ballast:
            ballast.unlink()
        self._ballast.clear()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[SmallDisk | None]:
    """The disk; None where mounting is impossible though we are root, or CI says not to skip."""
    if os.geteuid() != 0 and not _REQUIRED:
        pytest.skip("only root may mount a small disk")
    folder = tmp_path / "disk"
    folder.mkdir()
    options = f"size={_MEGABYTES}m,mode=0700"
    mount = shutil.which("mount")
    if (
        mount is None
        or subprocess.run(
            [mount, "-t", "tmpfs", "-o", options, "tmpfs", str(folder)],
            capture_output=True,
            check=False,
            timeout=20,
        ).returncode
    ):
        yield None
        return
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True, timeout=20)


def on(
    disk: SmallDisk | None, agent: StartAgent, smtp: SmtpServer, tmp_path: Path, free_disk: str
) -> Agent:
    """An agent whose spool is on that disk."""
    sections = short_sections(tmp_path, limits={"free_disk": free_disk})
    if disk is not None:
        sections["spool"] = str(disk.folder / "spool")
    return agent(smtp=smtp, **sections)


def test_calls_are_refused_below_the_limit_and_taken_above_it(
    agent: StartAgent,
    smtp_server: SmtpServer,
    caller: Callable[..., Caller],
    small_disk: SmallDisk | None,
    tmp_path: Path,
) -> None:
    if small_disk is None:
        more = shutil.disk_usage(tmp_path).total // 2**20 + 1
        running = on(None, agent, smtp_server, tmp_path, f"{more}M")
    else:
        running = on(small_disk, agent, smtp_server, tmp_path, "2M")
        small_disk.fill(leave=2**20)
    phone = caller(running.address, user=own_number())
    with pytest.raises(CallFailed, match="503"):
        phone.call()
    assert any("Retry-After: " in sent for sent in phone.trace)
    assert "limits.free_disk" in running.wait_log("refused with 503")
    if small_disk is None:
        return
    small_disk.release()
    phone.call().hang_up()
    assert str(wait_mail(smtp_server, phone.user).message["Subject"]).startswith("Missed call")


def test_a_disk_that_fills_up_during_a_message_ends_the_call_and_keeps_it(
    agent: StartAgent,
    smtp_server: SmtpServer,
    caller: Callable[..., Caller],
    small_disk: SmallDisk | None,
    tmp_path: Path,
) -> None:
    running = on(small_disk, agent, smtp_server, tmp_path, "64K")
    phone = caller(running.address, user=own_number())
    call = begin(running, phone)
    talk = Monologue(call, 91)
    start = time.monotonic()
    until(lambda: time.monotonic() - start > 1.5, "one and a half seconds of speech")
    full = time.monotonic()
    if small_disk is None:
        (folder,) = running.messages("recording")
        size = (folder / "audio.rtp").stat().st_size
        resource.prlimit(running.child(MEDIA), resource.RLIMIT_FSIZE, (size, size))
    else:
        small_disk.fill()
    call.wait_bye()
    talk.stop()
    if small_disk is not None:
        # With no byte left, nobody new is let in, and what was recorded is in the queue already.
        with pytest.raises(CallFailed, match="503"):
            phone.call()
        until(lambda: running.messages("recording") == [], "the message in the queue")
        small_disk.release()
        if not smtp_server.delivered:
            sipmail(running, "queue", "retry", "all")
    mail = wait_mail(smtp_server, phone.user)
    recorded = recording(mail)
    whole = decoded(b"".join(payload for _, payload in talk.sent))
    assert len(recorded) >= len(talk.said_before(full - _MOST_LATE_SECONDS))
    # The last packet may have found room for a part of itself only.
    certain = len(recorded) - STEP
    same(recorded[:certain], whole[:certain])
    assert "interrupted by a failure" in body(mail)
    assert running.running()
    until(lambda: len(running.messages("done")) == 1, "the message in done/")


def test_a_disk_without_a_byte_for_message_json_refuses_the_call(
    agent: StartAgent,
    smtp_server: SmtpServer,
    caller: Callable[..., Caller],
    small_disk: SmallDisk | None,
    tmp_path: Path,
) -> None:
    """Where the limit lets calls in and the disk does not: 503, the ports are given back, and
    calls are taken as soon as there is room."""
    running = on(small_disk, agent, smtp_server, tmp_path, "0")
    phone = caller(running.address, user=own_number())
    phone.call().hang_up()
    wait_mail(smtp_server, phone.user)
    until(lambda: len(running.messages("done")) == 1, "the courier's last word on the call")
    before = sockets(running.child(MEDIA))
    unlimited = resource.prlimit(running.pid, resource.RLIMIT_FSIZE)
    if small_disk is None:
        resource.prlimit(running.pid, resource.RLIMIT_FSIZE, (0, unlimited[1]))
    else:
        small_disk.fill()
    for _ in range(3):
        with pytest.raises(CallFailed, match="503"):
            phone.call()
    assert "cannot begin a message" in running.wait_log("cannot be taken")
    assert running.messages("recording") == []
    until(lambda: sockets(running.child(MEDIA)) == before, "the ports of the refused calls")
    if small_disk is None:
        resource.prlimit(running.pid, resource.RLIMIT_FSIZE, unlimited)
    else:
        small_disk.release()
    later = caller(running.address, user=own_number())
    begin(running, later).hang_up()
    wait_mail(smtp_server, later.user)


def sockets(pid: int) -> int:
    """How many sockets a process has open."""
    found = 0
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            found += str(entry.readlink()).startswith("socket:")
    return found
