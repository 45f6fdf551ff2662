"""How a command changes a message: through the running agent, or as the spool's owner itself.

The agent is asked over its control socket, so nothing ends up owned by another user. Where none
runs, the command takes the spool's lock for the moment, and the change takes effect at the next
start.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sipmail.config.model import Config
    from sipmail.spool.spool import Spool

ALL = "all"
"""In place of a message's ID: every message that waits."""


def change(
    config: Config,
    command: str,
    message_id: str,
    locally: Callable[[Spool], int],
    **arguments: object,
) -> tuple[int, bool]:
    """How many messages were changed, and whether by a running agent. Raises SpoolError."""
    from sipmail.errors import SpoolError
    from sipmail.spool.control import NotRunning, ask
    from sipmail.spool.message import check_id
    from sipmail.spool.spool import Spool

    check_id(message_id)
    try:
        return int(str(ask(config.spool, command, id=message_id, **arguments))), True
    except NotRunning:
        if not config.spool.is_dir():
            # The agent makes the spool as its own; made here, it might be another user's.
            if (command, message_id) == ("queue.retry", ALL):
                return 0, False
            raise SpoolError(f"there is no message {message_id}") from None
        spool = Spool(config.spool)
        spool.open()
    try:
        return locally(spool), False
    finally:
        spool.close()


def messages(count: int) -> str:
    """`1 message`, `2 messages`."""
    return "1 message" if count == 1 else f"{count} messages"
