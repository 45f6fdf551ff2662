"""The script of a call, from the first ring to the BYE: read it from top to bottom.

Nothing here knows SIP or RTP; `Call` does what is asked and raises `HungUp` when the caller is
gone. Whoever runs the script keeps what was recorded, however it ends.
"""

from __future__ import annotations

from sipmail.voicemail.call import Call, Ending, HungUp
from sipmail.voicemail.plan import Plan


async def leave_message(call: Call, plan: Plan) -> Ending:
    """Lets the caller leave a message; returns what ended the message (or the call before it).

    Raises what `Call.answer` raises when the call cannot be taken.
    """
    ending = Ending.CALLER
    try:
        if plan.ring > 0:
            await call.ring(plan.ring)
        await call.answer()
        await call.play(plan.quiet, plan.greeting, keys=plan.skip_keys)
        if plan.beep is not None:
            await call.play(plan.beep)
        ending = await call.record(plan.record)
        if plan.thanks is not None:
            await call.play(plan.thanks)
        await call.hang_up()
    except HungUp as gone:
        # After the recording, a caller who does not stay for the thanks changes nothing.
        if ending is Ending.CALLER:
            ending = gone.ending
    return ending
