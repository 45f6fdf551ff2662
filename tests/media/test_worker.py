"""A real worker process through its asyncio client; every wait is for an event, with a deadline."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import pytest

from sipmail.errors import MediaError
from sipmail.media import protocol
from sipmail.media.client import MediaWorker
from sipmail.media.protocol import (
    Digit,
    Event,
    Failed,
    FirstPacket,
    Leg,
    Played,
    RecordingEnded,
    Statistics,
)
from sipmail.rtp import journal
from sipmail.rtp.event import TelephoneEvent
from sipmail.rtp.packet import RtpPacket
from tests.media.loopback import Phone, free_ports, prompt
from tests.support.patience import PATIENCE


@dataclass(frozen=True)
class Ports:
    first: int
    last: int


class Room:
    """A worker, what it told, and whether it died."""

    def __init__(self, pairs: int) -> None:
        first = free_ports(2 * pairs)
        self.events: list[Event] = []
        self.told = asyncio.Event()
        self.died = asyncio.Event()
        self.worker = MediaWorker(
            Ports(first, first + 2 * pairs - 1),
            bind="127.0.0.1",
            on_event=self._on_event,
            on_exit=self.died.set,
        )

    def _on_event(self, event: Event) -> None:
        self.events.append(event)
        self.told.set()

    async def until(self, event: Event) -> None:
        async with asyncio.timeout(PATIENCE):
            while event not in self.events:
                self.told.clear()
                await self.told.wait()

    async def call(self, name: str) -> Phone:
        phone = Phone(await self.worker.open(name, "127.0.0.1"))
        self.worker.connect(name, phone.leg())
        return phone


@contextlib.asynccontextmanager
async def room(pairs: int = 2) -> AsyncIterator[Room]:
    it = Room(pairs)
    await it.worker.start()
    try:
        yield it
    finally:
        await it.worker.stop()


async def received(phone: Phone, enough: Callable[[RtpPacket], bool]) -> list[RtpPacket]:
    """The packets of sound that come, until one of them is `enough`."""
    loop = asyncio.get_running_loop()
    packets: list[RtpPacket] = []
    async with asyncio.timeout(PATIENCE):
        while True:
            data = await loop.sock_recv(phone.socket, 2048)
            if data[1] & 0x7F == 8:
                packets.append(RtpPacket.parse(data))
                if enough(packets[-1]):
                    return packets


def test_a_call_from_the_greeting_to_the_end(tmp_path: Path) -> None:
    async def scene() -> None:
        async with room() as it:
            words = bytes(range(256)) * 25
            phone = await it.call("a")
            phone.say()
            await it.until(FirstPacket("a"))
            it.worker.play("a", [prompt(tmp_path, "hello", words), "silence:0.1"], token=5)
            await it.until(Played("a", 5))
            played = [p for p in phone.packets() if p.payload != b"\xd5" * 160]
            assert b"".join(p.payload for p in played) == words
            path = tmp_path / "audio.rtp"
            it.worker.record("a", str(path), 60.0, 0.0, "#")
            await it.worker.open("b", "127.0.0.1")  # answered after the recording began
            sent = phone.say(100)
            sent += phone.say(1, bytes(TelephoneEvent(11, True, 10, 800)), 101)
            await it.until(RecordingEnded("a", "key"))
            assert Digit("a", "#") in it.events
            index = journal.read(path)
            assert index.malformed == 0
            assert [
                index.data[o - 12 : o + n] for o, n in zip(index.offset, index.length, strict=True)
            ] == sent
            statistics = await it.worker.close("a")
            assert (statistics.received, statistics.lost) == (102, 0)
            assert statistics.sent >= len(played)
            assert statistics.recorded_seconds > 0
            phone.close()

    asyncio.run(scene())


def test_packets_leave_every_20_ms(tmp_path: Path) -> None:
    """The wheel's own clock: timestamps and packets advance together, nothing is left out."""

    async def scene() -> None:
        async with room() as it:
            phone = await it.call("a")
            words = bytes(160) * 25 + b"\x01" * 160
            it.worker.play("a", [prompt(tmp_path, "a", words)], token=1)
            packets = await received(phone, lambda p: p.payload == b"\x01" * 160)
            spurt = packets[-26:]
            assert spurt[0].marker
            steps = {(b.timestamp - a.timestamp) & 0xFFFFFFFF for a, b in pairwise(spurt)}
            assert steps == {160}
            phone.close()

    asyncio.run(scene())


def test_no_free_port_and_ports_that_rest() -> None:
    async def scene() -> None:
        async with room(pairs=1) as it:
            port = await it.worker.open("a", "127.0.0.1")
            assert port % 2 == 0
            with pytest.raises(MediaError, match="no free RTP port"):
                await it.worker.open("b", "127.0.0.1")
            assert await it.worker.close("a") == Statistics()
            with pytest.raises(MediaError, match="no free RTP port"):
                await it.worker.open("c", "127.0.0.1")
            assert await it.worker.close("never opened") == Statistics()

    asyncio.run(scene())


def test_an_address_that_is_not_ours_falls_back_to_the_bind_address() -> None:
    async def scene() -> None:
        async with room() as it:
            assert await it.worker.open("a", "192.0.2.1")
            assert await it.worker.open("b")

    asyncio.run(scene())


def test_what_breaks_in_one_call_is_told_and_hurts_no_other(tmp_path: Path) -> None:
    async def scene() -> None:
        async with room(pairs=3) as it:
            bad, good = await it.call("bad"), await it.call("good")
            it.worker.record("bad", str(tmp_path / "no" / "folder"), 60.0, 0.0, "#")
            missing = Failed("bad", f"[Errno 2] No such file or directory: '{tmp_path}/no/folder'")
            await it.until(missing)
            it.worker.play("bad", ["nothing.here"], token=1)
            text = "[Errno 2] No such file or directory: 'nothing.here.alaw'"
            await it.until(Failed("bad", text))
            it.worker.connect("bad", Leg(**{**leg_values(bad), "remote_host": "pbx.example.com"}))
            await it.until(Failed("bad", "'pbx.example.com' is no IP address"))
            bad.say()
            good.say()
            await it.until(FirstPacket("bad"))
            await it.until(FirstPacket("good"))
            it.worker.play("good", [prompt(tmp_path, "a", bytes(160))], token=2)
            await it.until(Played("good", 2))
            bad.close()
            good.close()

    asyncio.run(scene())


def leg_values(phone: Phone) -> dict[str, object]:
    leg = phone.leg()
    return {name: getattr(leg, name) for name in Leg.__slots__}


def test_commands_for_calls_that_are_gone_are_nothing() -> None:
    async def scene() -> None:
        async with room() as it:
            it.worker.play("ghost", ["silence:1"], 1)
            it.worker.stop_call("ghost")
            it.worker.load(["silence:1", "not.there"])
            assert await it.worker.open("a", "127.0.0.1")
            assert it.events == []

    asyncio.run(scene())


def test_a_worker_that_dies_is_noticed_and_started_again(tmp_path: Path) -> None:
    async def scene() -> None:
        async with room() as it:
            phone = await it.call("a")
            path = tmp_path / "audio.rtp"
            it.worker.record("a", str(path), 60.0, 0.0, "#")
            await it.worker.open("b")
            sent = phone.say(20)
            await it.until(FirstPacket("a"))
            assert it.worker.pid is not None
            os.kill(it.worker.pid, signal.SIGSTOP)
            waiting = asyncio.create_task(it.worker.open("c"))
            await asyncio.sleep(0)
            os.kill(it.worker.pid, signal.SIGKILL)
            with pytest.raises(MediaError, match="died"):
                await waiting
            async with asyncio.timeout(PATIENCE):
                await it.died.wait()
            assert len(journal.read(path)) == len(sent)
            it.worker.play("a", ["silence:1"], 1)
            assert await it.worker.close("a") == Statistics()
            with pytest.raises(MediaError, match="not running"):
                await it.worker.open("d")
            await it.worker.start()
            assert await it.worker.open("e", "127.0.0.1")
            phone.close()

    asyncio.run(scene())


def test_stopping_says_bye_and_tells_no_death() -> None:
    async def scene() -> None:
        async with room() as it:
            phone = await it.call("a")
            phone.say()
            await it.until(FirstPacket("a"))
            await it.worker.stop()
            kinds = [data[-8:-6] for data in phone.heard() if data[1] in (200, 201)]
            assert kinds == [b"\x81\xcb"]
            assert not it.died.is_set()
            assert it.worker.pid is None
            phone.close()

    asyncio.run(scene())


@pytest.mark.parametrize(
    "message",
    [
        protocol.Open(1, "call", "192.0.2.1"),
        protocol.Connect(
            "call",
            Leg("h", 1, "r", 2, True, "PCMU", 0, None, 13, 20, True, False, {0: "PCMU", 8: "PCMA"}),
        ),
        protocol.Play("call", ("a", "silence:0.3"), 7),
        protocol.Record("call", "/spool/audio.rtp", 180.0, 8.0, "#"),
        protocol.Close(2, "call"),
        protocol.Closed(2, Statistics(1, 2, 3, 4.5, 0.25, 6)),
        protocol.Ready(),
        Digit("call", "#"),
    ],
)
def test_messages_survive_the_channel(message: protocol.Command | protocol.Answer | Event) -> None:
    from sipmail.channel import Channel

    ours, theirs = Channel.pair()
    with contextlib.closing(ours), contextlib.closing(Channel(theirs)) as far:
        ours.send(*protocol.encode(message))
        assert [protocol.decode(line) for line in far.receive()] == [message]
