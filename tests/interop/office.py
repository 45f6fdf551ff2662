"""An agent and its mail server, asked what became of a call by its Call-ID."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.support.agent import Agent
from tests.support.patience import PATIENCE
from tests.support.smtp import Delivered, SmtpServer


@dataclass(frozen=True)
class Office:
    """A running agent and the mail server that takes its e-mails."""

    agent: Agent
    smtp: SmtpServer

    def facts(self, call_id: str) -> dict[str, object]:
        """The message.json of a call; empty where none is kept."""
        for state in ("recording", "queue", "done", "failed"):
            for one in self.agent.messages(state):
                try:
                    known = json.loads((one / "message.json").read_text(encoding="utf-8"))
                except FileNotFoundError:
                    continue  # it has just moved on
                if known["call_id"] == call_id:
                    return dict(known)
        return {}

    def mail(self, call_id: str) -> Delivered:
        """The one e-mail about a call."""

        def about() -> list[Delivered]:
            known = self.facts(call_id).get("id")
            return [one for one in self.smtp.delivered if one.message["X-Sipmail-ID"] == known]

        self.smtp.wait_until(lambda: bool(about()), PATIENCE, f"an e-mail about {call_id}")
        (mail,) = about()
        return mail
