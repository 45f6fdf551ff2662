"""What /healthz says of a snapshot."""

from __future__ import annotations

from dataclasses import replace

from tests.agent.test_latest import CALM


def test_a_calm_agent_has_no_problems() -> None:
    assert CALM.problems() == ()


def test_what_should_run_and_does_not_is_a_problem() -> None:
    dead = "the courier is not running: nothing is delivered"
    assert replace(CALM, dead=(dead,)).problems() == (dead,)


def test_a_spool_that_cannot_be_used_is_a_problem_of_its_own() -> None:
    gone = replace(CALM, free_disk=0, spool_trouble="cannot look at the disk of /gone")
    assert gone.problems() == ("cannot look at the disk of /gone: calls are refused",)
