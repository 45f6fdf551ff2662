"""The switchboard: every call in progress, and what happens to it.

It takes the actions of the SIP endpoint and the events of the media workers, finds the call they
are about and tells it; it runs the script of each call as one task and sees to it that, whatever
ends the script, the call is hung up, its port given back and its message kept.
An error in one call ends that call, with a line in the log; the others go on.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from sipmail.agent.call import Line, LiveCall
from sipmail.agent.greetings import GreetingStore, PinGuard
from sipmail.agent.reception import Admission, Reception, Refusal
from sipmail.agent.store import Store
from sipmail.agent.workers import Workers
from sipmail.errors import MediaError, SpoolError
from sipmail.media import protocol
from sipmail.media.client import MediaWorker
from sipmail.net.driver import Driver
from sipmail.sip import actions as sip
from sipmail.spool.message import Caller, Kind, Message
from sipmail.voicemail.call import Ending, HungUp
from sipmail.voicemail.greeting_line import TRIES, GreetingPlan, Visit, record_greeting
from sipmail.voicemail.plan import Plan
from sipmail.voicemail.script import leave_message

log = logging.getLogger(__name__)


class Switchboard:
    """The calls of the agent.

    `kept(message)` is called in the loop when a finished message is in the queue, `greeting_kept()`
    when a greeting was recorded by phone. `reception`
    may be replaced at a reload: calls in progress keep what they were planned with.
    """

    def __init__(
        self,
        reception: Reception,
        workers: Workers,
        store: Store,
        driver: Driver,
        kept: Callable[[Message], None],
        greeting_kept: Callable[[], None] = lambda: None,
    ) -> None:
        self.reception = reception
        self.driver = driver
        self.calls: dict[str, LiveCall] = {}
        self._by_source: Counter[str] = Counter()
        self._by_worker: Counter[MediaWorker] = Counter()
        self.taken = 0
        self.refused = 0
        self._workers = workers
        self._store = store
        self._kept = kept
        self._greeting_kept = greeting_kept
        self._guard = PinGuard()

    # --- what SIP tells -------------------------------------------------------------------------

    def on_action(self, action: sip.Action) -> None:
        """Takes an action of the endpoint that is about a call; others are not for here."""
        if isinstance(action, sip.Incoming):
            self._incoming(action)
            return
        call = self.calls.get(getattr(action, "call", ""))
        if call is None:
            return
        if isinstance(action, sip.Cancelled | sip.HungUp | sip.Ended):
            self._give_way(call)
        match action:
            case sip.Established():
                call.note_established()
            case sip.MediaChanged():
                call.note_media(action.media)
            case sip.Cancelled():
                call.answered_elsewhere = action.elsewhere
                if action.elsewhere:
                    log.info("%s: answered elsewhere", call)
                call.note_signalling_over("cancelled")
            case sip.HungUp():
                call.note_signalling_over(action.reason or "the caller hung up")
            case sip.Replaced():
                call.note_replaced()
            case sip.Ended():
                call.note_signalling_over(action.cause)
            case sip.InfoDigit():
                call.note_info_digit(action.digit)
            case sip.Transferred():
                call.note_transferred()
            case sip.TransferFailed():
                call.note_transfer_failed(action.status, action.reason)
            case sip.Renamed():
                self._rename(call, self.reception.renamed(action.request))

    def _rename(self, call: LiveCall, caller: Caller | None) -> None:
        if caller is not None and caller != call.message.caller:
            call.message = replace(call.message, caller=caller)
            log.info("%s: now from %s", call, caller.number or "a withheld number")

    def _incoming(self, action: sip.Incoming) -> None:
        source = action.source.host
        replaced = self.calls.get(action.replaces or "")
        decision = self.reception.receive(
            action,
            self._by_source.total(),
            self._by_source[source],
            None if replaced is None else replaced.message,
        )
        if isinstance(decision, Admission) and isinstance(decision.plan, GreetingPlan):
            decision = self._guarded(decision)
        if not isinstance(decision, Admission):
            self.refused += 1
            log.info("%s: refused with %s", action.request.call_id, decision)
            self.driver.perform(
                self.driver.endpoint.reject(
                    action.call,
                    decision.status,
                    self.driver.now,
                    headers=decision.headers,
                )
            )
            return
        self.taken += 1
        greeting = isinstance(decision.plan, GreetingPlan)
        store = GreetingStore(self._store) if greeting else self._store
        call = LiveCall(
            action.call,
            Line(self.driver, self._workers.idlest(self._by_worker), store, decision.codecs),
            decision.message,
            host=self.driver.media_host(action.trunk, action.source),
            source=source,
        )
        self.calls[action.call] = call
        self._by_source[source] += 1
        self._by_worker[call.worker] += 1
        log.info(
            "%s: for %s from %s (%s) by trunk %s",
            call,
            decision.message.mailbox,
            decision.message.caller.number or "a withheld number",
            decision.message.reason,
            action.trunk,
        )
        call.task = asyncio.get_running_loop().create_task(self._run(call, decision))

    def _guarded(self, admission: Admission) -> Admission | Refusal:
        mailbox = admission.message.mailbox
        if self._guard.is_closed(mailbox, asyncio.get_running_loop().time()):
            return Refusal(403, f"too many wrong PINs for {mailbox}")
        return admission

    def _give_way(self, call: LiveCall) -> None:
        """The caller is gone: the next one may have the place while this message is put away."""
        if call.in_place:
            call.in_place = False
            self._by_source[call.source] -= 1
            if not self._by_source[call.source]:
                del self._by_source[call.source]

    # --- what the media workers tell ------------------------------------------------------------

    def on_media(self, event: protocol.Event) -> None:
        """Takes an event of a media worker."""
        call = self.calls.get(event.call)
        if call is None:
            return
        match event:
            case protocol.FirstPacket():
                call.note_first_packet()
            case protocol.Played():
                call.note_played(event.token)
            case protocol.Digit():
                call.note_digit(event.digit)
            case protocol.RecordingEnded():
                call.note_recording_ended(event.why)
            case protocol.Timeout():
                call.note_timeout()
            case protocol.Failed():
                log.error("%s: media: %s", call, event.text)
                call.note_gone(HungUp(event.text, Ending.MEDIA))

    def on_worker_exit(self, worker: object) -> None:
        """A media worker died: its calls end with BYE, what they recorded is kept."""
        for call in self.calls.values():
            if call.worker is worker:
                call.note_gone(HungUp("the media worker died", Ending.MEDIA))

    def end_all(self, why: str) -> None:
        """Ends every call at once, keeping what was recorded."""
        for call in self.calls.values():
            call.note_gone(HungUp(why, Ending.SHUTDOWN))

    async def empty(self) -> None:
        """Returns when no call is left."""
        while tasks := [call.task for call in self.calls.values() if call.task is not None]:
            await asyncio.wait(tasks)

    # --- one call -------------------------------------------------------------------------------

    async def _run(self, call: LiveCall, admission: Admission) -> None:
        ending = Ending.MEDIA
        try:
            if isinstance(admission.plan, GreetingPlan):
                await self._record_greeting(call, admission.plan)
            else:
                ending = await leave_message(call, admission.plan)
        except (SpoolError, MediaError) as error:
            log.error("%s: cannot be taken: %s", call, error)
            call.refuse(503)
        except Exception:
            # A bug must not take the agent with it: this call ends, with its trace in the log.
            log.exception("%s: broke off", call)
        try:
            await call.close()
            await self._keep(call, ending, admission.plan)
        except SpoolError as error:
            # What was recorded stays in recording/, and the next start brings it to the queue.
            log.error("%s: could not be queued: %s", call, error)
        except Exception:
            log.exception("%s: could not be closed", call)
        finally:
            del self.calls[call.key]
            call.forget()
            self._by_worker[call.worker] -= 1
            self._give_way(call)

    async def _record_greeting(self, call: LiveCall, plan: GreetingPlan) -> None:
        visit = await record_greeting(call, plan)
        log.info("%s: greeting of %s: %s", call, plan.mailbox, visit.value)
        if visit is Visit.WRONG_PIN:
            self._guard.wrong(plan.mailbox, TRIES, asyncio.get_running_loop().time())
        elif visit is Visit.KEPT:
            self._guard.right(plan.mailbox)
            self._greeting_kept()

    async def _keep(self, call: LiveCall, ending: Ending, plan: Plan | GreetingPlan) -> None:
        """Queues what the call left behind; one that was answered elsewhere leaves nothing, nor
        does one that an operator took before there was a recording."""
        message = replace(call.message, ended=datetime.now(UTC), ending=ending.value)
        if isinstance(plan, GreetingPlan):
            await call.store.abandon(message)
            return
        taken = call.transferred and not message.recorded
        if call.answered_elsewhere or call.refused or taken:
            if call.begun:
                await self._store.abandon(message)
            return
        if not message.recorded:
            message = replace(message, kind=Kind.MISSED)
            if not call.begun:
                await self._store.begin(message)
        await self._store.finish(message)
        log.info("%s: %s %s kept (%s)", call, message.kind.value, message.id, ending.value)
        self._kept(message)
