"""An INVITE that takes the place of another call (RFC 3891)."""

from __future__ import annotations

import pytest

from sipmail.sip.actions import (
    Ended,
    Incoming,
    Replaced,
)
from tests.sip_core.scene import Phone, Scene, established, say


def replaces(phone: Phone, extra: str = "") -> tuple[str, str]:
    return "Replaces", f"{phone.call_id};to-tag={phone.to_tag};from-tag={phone.tag}{extra}"


def test_replaces_takes_the_place_of_a_call() -> None:
    scene = Scene()
    first = established(scene)
    old, second = scene.call, Phone()
    scene.receive(second.invite([("Require", "replaces"), replaces(first)]))
    assert scene.told(Ended) == []
    assert [action.replaces for action in scene.told(Incoming)] == [None, old]
    said = scene.answer()
    assert [message.status or message.method for message in said] == [200, "BYE"]
    assert [action.call for action in scene.told(Replaced)] == [old]
    assert [action.call for action in scene.told(Ended)] == [old]
    assert said[1].get("Call-ID") == first.call_id


def test_replaces_that_fits_nothing() -> None:
    scene = Scene()
    first = established(scene)
    first.to_tag = "wrong"
    assert say(scene, Phone().invite([replaces(first)])) == 481


def test_replaces_of_an_established_call_that_should_be_early() -> None:
    scene = Scene()
    first = established(scene)
    assert say(scene, Phone().invite([replaces(first, ";early-only")])) == 486


def test_replaces_of_a_call_that_we_have_not_answered() -> None:
    scene, first = Scene(), Phone()
    scene.receive(first.invite())
    first.learn(scene.ring()[0])
    assert say(scene, Phone().invite([replaces(first)])) == 481


def test_replaces_of_a_call_that_is_ending() -> None:
    scene = Scene()
    first = established(scene)
    scene.hang_up()
    assert say(scene, Phone().invite([replaces(first)])) == 603


@pytest.mark.parametrize("value", ["", ";x", "id", "id;to-tag=1", "id;from-tag=2"])
def test_malformed_replaces(value: str) -> None:
    scene = Scene()
    assert say(scene, Phone().invite([("Replaces", value)])) == 400


def test_two_replaces() -> None:
    scene = Scene()
    first = established(scene)
    assert say(scene, Phone().invite([replaces(first), replaces(first)])) == 400
