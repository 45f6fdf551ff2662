"""What the endpoint answers to each message of RFC 4475 and RFC 5118 that comes from a trunk."""

from __future__ import annotations

import pytest

from sipmail.sip.actions import Incoming
from tests.sip.messages import IPV6, TORTURE
from tests.sip_core.scene import PHONE, US, Scene

CALL, NOTHING = 100, None
"""A call begins; no answer, as responses get none."""

RFC_4475: dict[str, int | None] = {
    "wsinv": 481,  # 3.1.1.1, it has a To tag of no call here
    "intmeth": 405,  # 3.1.1.2
    "esc01": CALL,  # 3.1.1.3
    "escnull": 405,  # 3.1.1.4, REGISTER: we are no registrar
    "esc02": 405,  # 3.1.1.5
    "lwsdisp": 200,  # 3.1.1.6
    "longreq": CALL,  # 3.1.1.7
    "dblreq": 405,  # 3.1.1.8, one answer
    "semiuri": 200,  # 3.1.1.9
    "transports": 200,  # 3.1.1.10
    "mpart01": 405,  # 3.1.1.11, MESSAGE
    "unreason": NOTHING,  # 3.1.1.12
    "noreason": NOTHING,  # 3.1.1.13
    "badinv01": 400,  # 3.1.2.1
    "clerr": 400,  # 3.1.2.2
    "ncl": 400,  # 3.1.2.3
    "scalar02": 400,  # 3.1.2.4
    "scalarlg": NOTHING,  # 3.1.2.5
    "quotbal": 400,  # 3.1.2.6
    "ltgtruri": 400,  # 3.1.2.7
    "lwsruri": 400,  # 3.1.2.8
    "lwsstart": 400,  # 3.1.2.9
    "trws": 400,  # 3.1.2.10
    "escruri": 400,  # 3.1.2.11
    "baddate": CALL,  # 3.1.2.12
    "regbadct": 400,  # 3.1.2.13
    "badaspec": 400,  # 3.1.2.14
    "baddn": 400,  # 3.1.2.15
    "badvers": 505,  # 3.1.2.16
    "mismatch01": 400,  # 3.1.2.17
    "mismatch02": 501,  # 3.1.2.18
    "bigcode": NOTHING,  # 3.1.2.19
    "badbranch": 200,  # 3.2.1
    "insuf": 400,  # 3.3.1
    "unkscm": 416,  # 3.3.2
    "novelsc": 416,  # 3.3.3
    "unksm2": 405,  # 3.3.4
    "bext01": 420,  # 3.3.5
    "invut": 415,  # 3.3.6
    "regaut01": 405,  # 3.3.7
    "multi01": 400,  # 3.3.8
    "mcl01": 400,  # 3.3.9
    "bcast": NOTHING,  # 3.3.10
    "zeromf": 200,  # 3.3.11
    "cparam01": 405,  # 3.3.12
    "cparam02": 405,  # 3.3.13
    "regescrt": 405,  # 3.3.14
    "sdp01": CALL,  # 3.3.15
    "inv2543": CALL,  # 3.4.1, without Contact, branch and tag
}

RFC_5118: dict[str, int | None] = {
    "ipv6-good": 405,  # 4.1, REGISTER
    "ipv6-bad": 400,  # 4.2
    "port-ambiguous": 405,  # 4.3
    "port-unambiguous": 405,  # 4.4
    "via-received-param-with-delim": 481,  # 4.5, BYE
    "via-received-param-no-delim": 200,  # 4.5
    "ipv6-in-sdp": 488,  # 4.6, the offer has no codec of ours
    "mult-ip-in-header": 481,  # 4.7, BYE
    "mult-ip-in-sdp": CALL,  # 4.8
    "ipv4-mapped-ipv6": 488,  # 4.9, the offer has no codec of ours
    "ipv6-bug-abnf-3-colons": 200,  # 4.10
    "ipv6-correct-abnf-2-colons": 200,  # 4.10
}


def test_the_tables_cover_every_message() -> None:
    assert RFC_4475.keys() == TORTURE.keys()
    assert RFC_5118.keys() == IPV6.keys()


@pytest.mark.parametrize("name", [*RFC_4475, *RFC_5118])
def test_what_it_got(name: str) -> None:
    scene, data = Scene(), TORTURE.get(name) or IPV6[name]
    expected = (RFC_4475 | RFC_5118)[name]
    scene.note(scene.endpoint.receive(data, PHONE, US, scene.now))
    assert [one.message.status for one in scene.sent] == [expected] * (expected is not NOTHING)
    assert len(scene.told(Incoming)) == (expected == CALL)


@pytest.mark.parametrize("name", ["badinv01", "badvers"])
def test_where_the_via_cannot_be_read_the_answer_goes_to_the_source(name: str) -> None:
    scene = Scene()
    scene.note(scene.endpoint.receive(TORTURE[name], PHONE, US, scene.now))
    assert [one.to for one in scene.sent] == [PHONE]
