"""`sipmail check --online` beside a running sipmail: it asks, and disturbs no registration."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartAgent
from tests.e2e.test_registrar import registering
from tests.support.agent import ROOT, Agent, merged
from tests.support.patience import PATIENCE
from tests.support.registrar import Registrar

pytestmark = pytest.mark.e2e


def trunk_step(agent: Agent) -> dict[str, Any]:
    """What the command says of the trunk, as it says it to programs."""
    ran = subprocess.run(
        [sys.executable, "-m", "sipmail", "check", "--online", "--json", "-c", str(agent.file)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    steps: list[dict[str, Any]] = json.loads(ran.stdout)["steps"]
    (step,) = [
        step for step in steps if step["what"] == "trunk pbx" and "127.0.0.1: " not in step["text"]
    ]
    return step


@pytest.mark.long
def test_the_running_sipmail_is_asked_and_its_registration_stays(
    agent: StartAgent, registrar: Registrar, tmp_path: Path
) -> None:
    running = agent(**registering(tmp_path, registrar))
    running.wait_log("trunk pbx: registered for")
    (own,) = {one.contact for one in registrar.registrations}
    before = len(registrar.requests)
    step = trunk_step(running)
    assert step["verdict"] == "right"
    assert step["text"].startswith(f"200 is registered with 127.0.0.1:{registrar.port} over udp")
    assert step["text"].endswith("by the sipmail that runs here")
    assert len(registrar.requests) == before
    # An account that the file has changed since is tried, as the running one is not affected.
    pbx = merged(running.settings["sip"]["trunks"]["pbx"], {"password": "wrong"})
    running.write(merged(running.settings, {"sip": {"trunks": {"pbx": pbx}}}))
    step = trunk_step(running)
    assert step["verdict"] == "failed"
    assert "says 401" in step["text"]
    assert {one.contact for one in registrar.registrations} == {own}


def test_why_it_is_not_registered(agent: StartAgent, registrar: Registrar, tmp_path: Path) -> None:
    registrar.intercept = lambda request: 404
    running = agent(**registering(tmp_path, registrar))
    running.wait_log("trunk pbx: not registered: 404")
    step = trunk_step(running)
    assert step["verdict"] == "failed"
    assert step["text"].startswith("the sipmail that runs here is not registered: 404 ")
    assert step["cure"] == "the registrar knows no such account: check username"
