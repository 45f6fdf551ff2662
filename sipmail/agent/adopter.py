"""What `sipmail queue adopt` asks the running agent for: another spool's messages into its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from sipmail.agent.store import Store
from sipmail.errors import SpoolError
from sipmail.spool.adoption import adopt
from sipmail.spool.control import Handler
from sipmail.spool.spool import State


def adopter(store: Store, notify: Callable[[str], None]) -> Handler:
    """The handler for the control socket; `notify(id)` hears of what has come to the queue."""

    async def handle(arguments: Mapping[str, object]) -> object:
        folder = Path(str(arguments.get("folder", "")))
        if not folder.is_absolute():
            raise SpoolError("the folder of the other spool is to be named in full")
        adoption = await store.run(adopt, store.spool, folder)
        for message_id in adoption.gained[State.QUEUE]:
            notify(message_id)
        return adoption.counts()

    return handle
