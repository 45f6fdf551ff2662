"""The script of a call, from the first ring to the BYE: read it from top to bottom.

Nothing here knows SIP or RTP; `Call` does what is asked and raises `HungUp` when the caller is
gone. Whoever runs the script keeps what was recorded, however it ends.
"""

from __future__ import annotations

from sipmail.voicemail.call import Call, Ending, HungUp
from sipmail.voicemail.plan import OPERATOR_KEY, Menu, Operator, Plan

_PATIENCE = 2
"""How often somebody is asked again who says or presses nothing that helps."""
_LISTEN, _AGAIN, _URGENT, _KEEP = "1", "2", "3", "#"
_ANY_KEY = "0123456789*#"


async def leave_message(call: Call, plan: Plan) -> Ending:
    """Lets the caller leave a message; returns what ended the message (or the call before it).

    Raises what `Call.answer` raises when the call cannot be taken.
    """
    visit = _Visit(call, plan)
    try:
        await visit.run()
    except HungUp as gone:
        # After the recording, a caller who does not stay for the rest changes nothing.
        if visit.ending is None:
            return gone.ending
    return visit.ending or Ending.CALLER


class _Visit:
    """One caller; `ending` is what ended the recording, None until there is one."""

    def __init__(self, call: Call, plan: Plan) -> None:
        self.ending: Ending | None = None
        self._call = call
        self._plan = plan
        self._nobody_there = False
        """Whether the operator was tried and could not be had."""

    async def run(self) -> None:
        call = self._call
        if self._plan.ring > 0:
            await call.ring(self._plan.ring)
        await call.answer()
        await self._choose()
        plan = self._plan
        await self._greet()
        if not plan.announcement:
            await self._take_message()
            if plan.menu is not None:
                await self._ask_who_said_nothing(plan.menu)
                await self._offer(plan.menu)
            if plan.thanks is not None:
                await call.play(plan.thanks)
        await call.hang_up()

    async def _choose(self) -> None:
        """Which mailbox? Who presses nothing stays here."""
        desk = self._plan.desk
        if desk is None:
            return
        prompts = [self._plan.quiet, desk.prompt, *desk.offer, desk.pause]
        for _ in range(1 + _PATIENCE):
            key = await self._call.play(*prompts, keys=_ANY_KEY)
            if key == OPERATOR_KEY and key not in desk.plans and self._plan.operator is not None:
                await self._call.play(await self._transfer(self._plan.operator))
                return
            if (chosen := desk.plans.get(key)) is not None:
                self._plan = chosen
                await self._call.enter(chosen.mailbox, urgent=chosen.urgent)
            if chosen is not None or not key:
                return
            prompts = [desk.invalid, desk.prompt, *desk.offer, desk.pause]

    async def _greet(self) -> None:
        """Greeting and beep in one piece: what the caller says after it is recorded, however late
        the recording begins."""
        plan = self._plan
        keys = plan.skip_keys if plan.operator is None else plan.skip_keys + OPERATOR_KEY
        offer = () if self._nobody_there else plan.offer
        beep = () if plan.announcement else self._beep
        key = await self._call.play(plan.quiet, plan.greeting, *offer, *beep, keys=keys)
        if key == OPERATOR_KEY and plan.operator is not None:
            await self._call.play(await self._transfer(plan.operator), *beep)
        elif key and beep:
            await self._call.play(*beep)

    @property
    def _beep(self) -> tuple[str, ...]:
        return () if self._plan.beep is None else (self._plan.beep,)

    async def _transfer(self, operator: Operator) -> str:
        """Returns where nobody could be had, with the prompt that says so: the call then goes on
        where it was."""
        await self._call.play(operator.connecting)
        await self._call.transfer(operator.to)
        self._nobody_there = True
        return operator.unavailable

    async def _record_again(self, prompt: str) -> None:
        await self._call.play(prompt, *self._beep)
        await self._take_message()

    async def _take_message(self) -> None:
        plan = self._plan
        self.ending = None
        self.ending = await self._call.record(plan.record, plan.warning)
        if self.ending is Ending.MAX and plan.time_up is not None:
            await self._call.play(plan.time_up)

    async def _ask_who_said_nothing(self, menu: Menu) -> None:
        """Too short and silent messages are asked for again, each in words of its own."""
        for _ in range(_PATIENCE):
            review = await self._call.review()
            if review.speech >= self._plan.record.min:
                return
            await self._record_again(menu.too_short if review.sound else menu.not_heard)

    async def _offer(self, menu: Menu) -> None:
        """Listen, record again, mark as urgent, keep: until the caller has had enough."""
        operator = self._plan.operator
        options = (menu.options,) if operator is None else (menu.options, operator.offer)
        said: tuple[str, ...] = ()
        idle = 0
        while idle <= _PATIENCE:
            key = await self._call.play(*said, *options, menu.pause, keys=_ANY_KEY)
            said = ()
            idle = 0 if key else idle + 1
            if key == _LISTEN:
                said = ((await self._call.review()).prompt, menu.short_pause)
            elif key == _AGAIN:
                await self._record_again(menu.again)
            elif key == _URGENT:
                await self._call.mark_urgent()
                said = (menu.urgent,)
            elif key == _KEEP:
                return
            elif key == OPERATOR_KEY and operator is not None:
                said = (await self._transfer(operator),)
            elif key:
                said = (menu.invalid,)
