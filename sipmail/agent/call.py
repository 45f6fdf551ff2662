"""One call in progress, as its script sees it: `voicemail.Call` on real signalling and media.

The script awaits; what happens to the call (ACK, packets, keys, BYE) is noted here by the
switchboard and wakes it. Rules: `message.json` is on disk before the 200 leaves; once the call is
gone, whatever the script awaits raises `HungUp`; nothing here blocks the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from sipmail.agent import review
from sipmail.agent.store import Store
from sipmail.config.model import Record
from sipmail.errors import MediaError, SpoolError
from sipmail.media.client import MediaWorker
from sipmail.media.protocol import FAX, OVERRUN, Keys, Leg
from sipmail.net.driver import Driver
from sipmail.sip.actions import Action
from sipmail.sip.crypto import SECRET_BYTES
from sipmail.sip.endpoint import Endpoint
from sipmail.sip.session import LocalMedia, Media
from sipmail.spool.layout import AUDIO
from sipmail.spool.message import Message
from sipmail.voicemail.call import Ending, HungUp, Review

log = logging.getLogger(__name__)

_FIRST_PACKET_SECONDS = 1.0
_BETWEEN_KEYS_SECONDS = 5.0
_ALL_KEYS = "0123456789*#"
_FURTHER = "further.rtp"
"""A further recording, until it takes the place of the first."""


@dataclass(frozen=True, slots=True)
class Line:
    """What every call of the agent uses: where its signalling, media and recordings go."""

    driver: Driver
    worker: MediaWorker
    store: Store
    codecs: tuple[str, ...]


class LiveCall:
    """A call from its INVITE to its last word; the switchboard calls the `note_…` methods."""

    def __init__(self, key: str, line: Line, message: Message, *, host: str, source: str) -> None:
        """`host` is the address that our SDP names, `source` the one that the INVITE came from."""
        self.key = key
        self.message = message
        self.source = source
        self.answered_elsewhere = False
        self.refused = False
        self.transferred = False
        """Whether an operator, or another call, has the caller now."""
        self.in_place = True
        """Whether it counts for the limits."""
        self.task: asyncio.Task[None] | None = None
        self._line = line
        self._host = host
        self._folder: Path | None = None
        self._media_open = False
        self._media: Media | None = None
        self._established = False
        self._transferring = False
        self._first_packet = False
        self._gone: HungUp | None = None
        self._signalling_over = False
        self._keys = ""
        """Pressed since the prompts began, or since the ones before had ended."""
        self._cutting = ""
        self._cut = ""
        self._token = 0
        self._played = 0
        self._recording_ended = ""
        self._finish_keys = ""
        self._further_least: float | None = None
        self._reviews: list[Path] = []
        self._wake: asyncio.Future[None] | None = None

    def __str__(self) -> str:
        return self.message.call_id

    # --- what the script asks -------------------------------------------------------------------

    async def ring(self, seconds: float) -> None:
        """Rings (180) for `seconds`."""
        self._perform(self._endpoint.ring(self.key, self._now))
        await self._until(lambda: False, seconds)

    async def answer(self) -> None:
        """Answers: message.json on disk, 200, then the ACK and the first packet (or 1 s).

        Raises SpoolError or MediaError when the call cannot be taken; it is then not answered.
        """
        worker = self._line.worker
        opening = worker.begin_to_open(self.key, self._host)
        try:
            self.message = replace(self.message, answered=datetime.now(UTC))
            self._folder = await self._line.store.begin(self.message)
            port = worker.opened(self.key, await opening)
            self._media_open = True
        except (SpoolError, MediaError):
            # The port may be open all the same: `close` gives it back.
            with contextlib.suppress(MediaError):
                worker.opened(self.key, await opening)
                self._media_open = True
            raise
        self._still_here()
        local = LocalMedia(
            self._host, port, self._line.codecs, secret=secrets.token_bytes(SECRET_BYTES)
        )
        self._perform(self._endpoint.answer(self.key, local, self._now))
        await self._until(lambda: self._established)
        await self._until(lambda: self._first_packet, _FIRST_PACKET_SECONDS)

    async def digits(self, *prompts: str, most: int) -> str:
        """Plays prompts, then the keys that were pressed until `#`, `most` of them, or a pause."""
        await self.play(*prompts, keys=_ALL_KEYS)
        while "#" not in self._keys and 0 < len(self._keys) < most:
            known = len(self._keys)
            await self._until(lambda known=known: len(self._keys) > known, _BETWEEN_KEYS_SECONDS)  # type: ignore[misc]
            if len(self._keys) == known:
                break
        keys, self._keys = self._keys, ""
        return keys.partition("#")[0]

    async def keep(self) -> None:
        """What is recorded is the mailbox's greeting from now on. Raises SpoolError."""
        await self._line.store.keep(self.message)

    async def play(self, *prompts: str, keys: str = "") -> str:
        """Plays prompts without a gap; returns the key of `keys` that ended them, or "".

        A key that was pressed since the prompts before had ended counts for these.
        """
        self._still_here()
        if self._cut:
            self._keys = ""
        self._cutting = keys
        self._cut = next((key for key in self._keys if key in keys), "")
        self._token += 1
        token = self._token
        if self._cut:
            return self._cut
        self._line.worker.play(self.key, prompts, token)
        await self._until(lambda: self._played >= token or self._cut != "")
        if self._played < token:
            self._line.worker.stop_call(self.key)
        return self._cut

    async def enter(self, mailbox: str, *, urgent: bool) -> None:
        """The call is for another mailbox from now on; on disk when it returns."""
        self.message = replace(self.message, mailbox=mailbox, urgent=urgent)
        await self._note()

    async def mark_urgent(self) -> None:
        """The message is urgent; on disk when it returns."""
        self.message = replace(self.message, urgent=True)
        await self._note()

    async def record(self, record: Record, warning: str | None = None) -> Ending:
        """Records until a finish key, silence or the maximum; a hang-up raises `HungUp`.

        `warning` is played `record.warning` before the maximum. A further recording has a journal
        of its own, and takes the place of the first when it is over.
        """
        self._still_here()
        assert self._folder is not None  # the script answers before it records
        self._recording_ended = ""
        self._finish_keys = record.finish_keys
        journal = AUDIO
        if self.message.recorded:
            journal, self._further_least = _FURTHER, record.min
        self.message = replace(self.message, recorded=True)
        self._line.worker.record(
            self.key,
            str(self._folder / journal),
            max=record.max,
            silence=record.silence,
            finish_keys=record.finish_keys,
        )
        try:
            if warning is not None:
                calm = record.max - record.warning
                await self._until(lambda: self._recording_ended != "", calm)
                if not self._recording_ended:
                    self._token += 1
                    self._line.worker.play(self.key, (warning,), self._token)
            await self._until(lambda: self._recording_ended != "")
        finally:
            self._finish_keys = self._keys = ""
        await self._settle_recordings()
        return Ending(self._recording_ended)

    async def review(self) -> Review:
        """What is recorded so far, ready to be played to the caller. Raises SpoolError."""
        assert self._folder is not None  # the script answers before it asks
        store = self._line.store
        name = f"review-{self.message.id}-{len(self._reviews)}"
        stem = store.spool.root / "prompts" / name
        self._reviews.append(stem)
        heard = await store.run(review.listen, self._folder / AUDIO, self.message.payloads)
        try:
            made = await store.run(review.write, heard, stem)
        except OSError as error:
            raise SpoolError(f"{stem} cannot be written: {error}") from error
        self._still_here()
        return made

    async def transfer(self, to: str) -> None:
        """Hands the caller to `to` by REFER; returns when that failed."""
        self._still_here()
        log.info("%s: to the operator, %s", self, to)
        self._transferring = True
        try:
            self._perform(self._endpoint.transfer(self.key, to, self._now))
            await self._until(lambda: not self._transferring)
        finally:
            self._transferring = False
            self._keys = ""  # pressed while it rang, they are for no prompt

    async def hang_up(self) -> None:
        """Ends the call with a BYE."""
        self._hang_up()

    # --- what happens to the call ---------------------------------------------------------------

    def note_established(self) -> None:
        self._established = True
        self._wake_up()

    def note_media(self, media: Media) -> None:
        self._media = media
        self.message = replace(self.message, payloads={**self.message.payloads, **media.payloads})
        if self._media_open:
            keys = media.keys
            self._line.worker.connect(
                self.key,
                leg_of(media),
                None if keys is None else Keys(keys.suite, keys.ours, keys.theirs),
            )

    def note_first_packet(self) -> None:
        self._first_packet = True
        self._wake_up()

    def note_played(self, token: int) -> None:
        self._played = token
        if not self._cut:
            self._keys = ""
        self._wake_up()

    def note_digit(self, digit: str) -> None:
        self._keys += digit
        if not self._cut and self._played < self._token and digit in self._cutting:
            self._cut = digit
        self._wake_up()

    def note_info_digit(self, digit: str) -> None:
        """A key that came by signalling: the media worker does not know of it."""
        if digit in self._finish_keys:
            self._line.worker.finish(self.key)
        self.note_digit(digit)

    def note_recording_ended(self, why: str) -> None:
        if why == FAX:
            self.message = replace(self.message, notes=(*self.message.notes, FAX))
            self.note_gone(HungUp("a fax machine calls"))
            return
        self._recording_ended = why
        self._wake_up()

    def note_timeout(self) -> None:
        """No packets for long: the end, unless the caller is being handed to an operator."""
        if not self._transferring:
            log.info("%s: no packets any more", self)
            self.note_gone(HungUp("no packets any more", Ending.TIMEOUT))

    def note_transferred(self) -> None:
        """An operator has the caller; `close` says BYE."""
        log.info("%s: the operator has taken it", self)
        self.transferred = True
        self.note_gone(HungUp("the operator has taken the call"))

    def note_replaced(self) -> None:
        """Whoever called has given its place to another call, and is none that was missed."""
        log.info("%s: another call takes its place", self)
        self.transferred = True

    def note_transfer_failed(self, status: int | None, reason: str) -> None:
        log.info("%s: no operator: %s", self, f"{status} {reason}" if status else reason)
        self._transferring = False
        self._wake_up()

    def note_gone(self, why: HungUp) -> None:
        """The call is to end: the script hears `why`, `close` says BYE where SIP still holds it."""
        if self._gone is None:
            self._gone = why
            self._wake_up()

    def note_signalling_over(self, reason: str) -> None:
        """SIP has no such call any more."""
        self._signalling_over = True
        self.note_gone(HungUp(reason))

    # --- its end --------------------------------------------------------------------------------

    @property
    def worker(self) -> MediaWorker:
        return self._line.worker

    @property
    def store(self) -> Store:
        return self._line.store

    @property
    def begun(self) -> bool:
        """Whether its message has a folder in the spool."""
        return self._folder is not None

    def refuse(self, status: int) -> None:
        """Answers the INVITE with a failure: the call cannot be taken."""
        self.refused = True
        if not self._signalling_over:
            self._signalling_over = True
            self._perform(self._endpoint.reject(self.key, status, self._now))

    async def close(self) -> None:
        """Hangs up, gives the port back; then the last packets are in the journal."""
        self._hang_up()
        if self._media_open:
            self._media_open = False
            statistics = await self._line.worker.close(self.key)
            log.debug("%s: media: %s", self, statistics)
            if statistics.overrun and self.message.recorded:
                log.warning("%s: %d packets were lost here", self, statistics.overrun)
                self.message = replace(self.message, notes=(*self.message.notes, OVERRUN))
        await self._settle_recordings()
        for stem in self._reviews:
            await self._line.store.run(review.forget, stem)

    def forget(self) -> None:
        """The last: what ended the script holds its frames, and so this call, in a circle."""
        self._gone = None

    # --- inside ---------------------------------------------------------------------------------

    async def _note(self) -> None:
        """Writes what is known now beside the recording; a disk that refuses does so later too."""
        if self._folder is None:
            return
        try:
            await self._line.store.update(self.message)
        except SpoolError as error:
            log.error("%s: %s", self, error)

    async def _settle_recordings(self) -> None:
        """Of two recordings the one that counts stays; see `voicemail.Call.record`."""
        least, self._further_least = self._further_least, None
        if least is None or self._folder is None:
            return
        first, further = self._folder / AUDIO, self._folder / _FURTHER
        try:
            taken = await self._line.store.run(
                review.settle, first, further, self.message.payloads, least
            )
        except OSError as error:
            log.error("%s: the first recording stays: %s", self, error)
            return
        if taken:
            log.info("%s: recorded again", self)

    def _hang_up(self) -> None:
        if not self._signalling_over:
            self._signalling_over = True
            self._perform(self._endpoint.hang_up(self.key, self._now))

    @property
    def _endpoint(self) -> Endpoint:
        return self._line.driver.endpoint

    @property
    def _now(self) -> float:
        return self._line.driver.now

    def _perform(self, actions: list[Action]) -> None:
        self._line.driver.perform(actions)

    def _still_here(self) -> None:
        if self._gone is not None:
            raise self._gone

    async def _until(self, done: Callable[[], bool], seconds: float | None = None) -> None:
        """Waits until `done()`, at most `seconds`; raises HungUp once the call is gone."""
        loop = asyncio.get_running_loop()
        deadline = None if seconds is None else loop.time() + seconds
        while True:
            self._still_here()
            if done() or (deadline is not None and loop.time() >= deadline):
                return
            self._wake = loop.create_future()
            timer = None if deadline is None else loop.call_at(deadline, self._wake_up)
            try:
                await self._wake
            finally:
                self._wake = None
                if timer is not None:
                    timer.cancel()

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)


def leg_of(media: Media) -> Leg:
    """What SIP negotiated, in the words of the media worker."""
    return Leg(
        remote_host=media.remote_host,
        remote_port=media.remote_port,
        rtcp_host=media.rtcp_host,
        rtcp_port=media.rtcp_port,
        rtcp_mux=media.rtcp_mux,
        codec=media.codec,
        payload_type=media.payload_type,
        event_payload_type=media.event_payload_type,
        cn_payload_type=media.cn_payload_type,
        ptime=media.ptime,
        send=media.send,
        receive=media.receive,
        payloads=media.payloads,
    )
