"""What many calls cost: waking costs what is due, not what is there."""

from __future__ import annotations

from time import thread_time

from sipmail.sip.actions import Ended
from tests.sip_core.scene import Phone, Scene, established


def with_calls(count: int) -> Scene:
    scene = Scene()
    for _ in range(count):
        established(scene, Phone())
        scene.actions.clear()
        scene.sent.clear()
    scene.advance(40)
    assert scene.endpoint.calls == count
    return scene


def idle_cost(scene: Scene) -> float:
    """Seconds for 500 looks at the clock with nothing due."""
    best = 1.0
    for _ in range(5):
        started = thread_time()
        for _ in range(500):
            scene.endpoint.timer(scene.now)
            _ = scene.endpoint.deadline
        best = min(best, thread_time() - started)
    return best


def test_two_thousand_calls_make_waking_no_dearer() -> None:
    # A scan of 2,000 dialogs would cost a hundred times as much as one of 20.
    many = with_calls(2000)
    assert idle_cost(many) < 10 * idle_cost(with_calls(20))


def test_two_thousand_byes_at_once_are_all_said_and_all_end() -> None:
    scene = with_calls(2000)
    calls = list(scene.endpoint._calls)
    for call in calls:
        scene.note(scene.endpoint.hang_up(call, scene.now))
    assert len({sent.message.get("Call-ID") for sent in scene.sent}) == 2000
    scene.sent.clear()
    assert scene.settled()
    assert len(scene.told(Ended)) == 2000


def test_what_was_cancelled_does_not_pile_up() -> None:
    scene = Scene()
    for _ in range(300):
        phone = established(scene)
        scene.receive(phone.request("BYE"))
        scene.advance(0.5)
    # Timer L of the INVITE and J of the BYE, 32 s each, at two calls a second.
    assert len(scene.endpoint._context.alarms) <= 2 * 2 * 33
    assert scene.settled()
