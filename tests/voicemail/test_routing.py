"""Which mailbox: every rule, their order, and what counts as the same number."""

from __future__ import annotations

import pytest

from sipmail.voicemail.reason import Reason
from sipmail.voicemail.routing import Directory, Match, Rule
from tests.voicemail.office import CARRIER, PBX, invite, mailbox, office

# An INVITE in which every place names another mailbox; rules are taken away from the top.
PLACES = {
    Rule.TARGET: "m-target",
    Rule.REQUEST_URI: "m-uri",
    Rule.DIVERSION: "m-diversion",
    Rule.HISTORY_INFO: "m-history",
    Rule.CALLED_PARTY: "m-called",
    Rule.TO: "m-to",
}
CROWD = [mailbox(name, name) for name in PLACES.values()]
EVERYWHERE = invite(
    "Diversion: <sip:m-diversion@pbx.example.com>",
    "History-Info: <sip:m-history@pbx.example.com>;index=1",
    "P-Called-Party-ID: <sip:m-called@pbx.example.com>",
    uri="sip:m-uri@203.0.113.10;target=sip:m-target%40pbx.example.com",
    to="<sip:m-to@203.0.113.10>",
)


def find(request: object = EVERYWHERE, **fields: object) -> Match | None:
    return Directory(office(*CROWD, **fields)).find(request, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("position", range(len(PLACES)))
def test_the_first_rule_that_names_a_mailbox_wins(position: int) -> None:
    rules = list(PLACES)
    boxes = [mailbox(name, name) for name in list(PLACES.values())[position:]]
    match = Directory(office(*boxes)).find(EVERYWHERE, None)
    assert match is not None
    assert (match.rule, match.mailbox.key) == (rules[position], PLACES[rules[position]])


@pytest.mark.parametrize("rule", PLACES)
def test_routing_sets_another_order(rule: Rule) -> None:
    match = find(routing=(rule.value, *(other.value for other in PLACES if other is not rule)))
    assert match is not None
    assert match.mailbox.key == PLACES[rule]


def test_a_rule_left_out_is_not_asked() -> None:
    match = find(routing=("to",))
    assert match is not None
    assert match.rule is Rule.TO
    assert find(invite(uri="sip:201@203.0.113.10"), routing=("to",)) is None


def test_the_mailbox_of_the_trunk_comes_first() -> None:
    trunk = PBX.model_copy(update={"mailbox": "service"})
    match = Directory(office(*CROWD)).find(EVERYWHERE, trunk)
    assert match is not None
    assert (match.rule, match.mailbox.key) == (Rule.TRUNK, "service")


def test_the_mailbox_of_the_trunk_still_learns_the_called_number_and_why() -> None:
    trunk = CARRIER.model_copy(update={"mailbox": "service"})
    request = invite("Diversion: Anna <sip:221112233@192.0.2.1>;reason=user-busy")
    match = Directory(office()).find(request, trunk)
    assert match is not None
    assert (match.called, match.called_name, match.reason) == (
        "+48221112233",
        "Anna",
        Reason.BUSY,
    )


@pytest.mark.parametrize(
    "user",
    [
        "+48221234567",
        "0048221234567",
        "221234567",
        "48221234567",
        "+48-22-123-45-67",
        "%2B48221234567",
    ],
)
def test_one_number_in_all_its_forms(user: str) -> None:
    match = find(invite(uri=f"sip:{user}@203.0.113.10"))
    assert match is not None
    assert (match.mailbox.key, match.called) == ("sales", "+48221234567")


def test_an_extension_is_not_a_national_number() -> None:
    match = find(invite(uri="sip:201@203.0.113.10"))
    assert match is not None
    assert match.called == "201"


def test_nothing_matches_is_none_or_the_rest() -> None:
    stranger = invite(uri="sip:999@203.0.113.10")
    assert find(stranger) is None
    match = Directory(office(mailbox("rest", "*"))).find(stranger, None)
    assert match is not None
    assert (match.mailbox.key, match.rule, match.called) == ("rest", Rule.REST, "999")


def test_a_star_that_is_dialled_is_no_rest() -> None:
    request = invite(uri="sip:*@203.0.113.10", to="<sip:201@203.0.113.10>")
    match = Directory(office(mailbox("rest", "*"))).find(request, None)
    assert match is not None
    assert match.rule is Rule.TO


def test_the_random_user_of_a_registration_is_not_the_called_number() -> None:
    request = invite(to="<sip:777@203.0.113.10>")
    match = Directory(office(mailbox("rest", "*"))).find(request, None)
    assert match is not None
    assert match.called == "777"


def test_diversions_are_read_from_the_newest() -> None:
    request = invite(
        "Diversion: <sip:202@pbx.example.com>;reason=no-answer",
        "Diversion: <sip:201@pbx.example.com>;reason=unconditional",
    )
    match = find(request)
    assert match is not None
    assert (match.mailbox.key, match.reason) == ("service", Reason.NO_ANSWER)


def test_the_reason_is_that_of_the_entry_which_named_the_mailbox() -> None:
    request = invite(
        "Diversion: <sip:1408@pbx.example.com>;reason=no-answer",
        "Diversion: <sip:201@pbx.example.com>;reason=user-busy",
    )
    match = find(request)
    assert match is not None
    assert match.reason is Reason.BUSY


def test_a_silent_entry_takes_the_reason_that_others_say() -> None:
    request = invite(
        "Diversion: <sip:201@pbx.example.com>",
        "History-Info: <sip:201@pbx.example.com?Reason=SIP%3Bcause%3D480>;index=1",
    )
    match = find(request)
    assert match is not None
    assert match.reason is Reason.UNAVAILABLE


def test_history_with_a_cause_in_the_next_entry() -> None:
    request = invite(
        "History-Info: <sip:201@pbx.example.com>;index=1, "
        "<sip:vm@pbx.example.com;cause=486>;index=1.1",
    )
    match = find(request)
    assert match is not None
    assert (match.rule, match.reason) == (Rule.HISTORY_INFO, Reason.BUSY)


@pytest.mark.parametrize(
    "headers",
    [
        ("Diversion: <sip:201@",),
        ("Diversion: ,,,",),
        ("History-Info: <sip:201@pbx.example.com>",),
        ("P-Called-Party-ID: >201<",),
        ("P-Called-Party-ID: ",),
    ],
)
def test_malformed_headers_name_nothing(headers: tuple[str, ...]) -> None:
    assert find(invite(*headers)) is None


@pytest.mark.parametrize("uri", ["sip:;target=", "mailto:201", "sip:@@", "tel:x", "sip:x;target=%"])
def test_malformed_uris_name_nothing(uri: str) -> None:
    assert find(invite(uri=uri)) is None


@pytest.mark.parametrize("target", ["sip:201%40a", "sip%3A201%40a", "201", "tel:201", "sips:201@a"])
def test_the_target_may_be_written_in_any_way(target: str) -> None:
    match = find(invite(uri=f"sip:vm@203.0.113.10;target={target};cause=408"))
    assert match is not None
    assert (match.mailbox.key, match.reason) == ("sales", Reason.NO_ANSWER)
