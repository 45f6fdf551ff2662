"""SIPp scenarios from steps: what the peer sends, what it must get, as SIPp's XML.

`send` and `expect` are one message each. Every request has the same From, Call-ID and Contact, so
that a scenario says only what it is about. In what is expected, `has` and `lacks` are regular
expressions (POSIX extended, as SIPp has them) over the whole message.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from xml.sax.saxutils import quoteattr

Case = tuple[str, tuple[str, ...]]
"""The mailbox that is called, and the steps of the call."""

OUTSIDE = "sip:[service]@[remote_ip]:[remote_port]"
INSIDE = "[next_url]"
_COPIED = ("Via", "From", "To", "CSeq")
CONTACT = "<sip:+48600111222@[local_ip]:[local_port];transport=[transport]>"


def sdp(
    *media: str, version: int = 1, host: str = "[media_ip]", direction: str = "sendrecv"
) -> str:
    """A session description; without `media` one G.711 stream in both laws and key presses."""
    streams = media or (
        "m=audio [media_port] RTP/AVP 0 8 101",
        "a=rtpmap:0 PCMU/8000",
        "a=rtpmap:8 PCMA/8000",
        "a=rtpmap:101 telephone-event/8000",
        "a=fmtp:101 0-16",
        f"a={direction}",
    )
    head = (
        "v=0",
        f"o=sipp 7 {version} IN IP[media_ip_type] [media_ip]",
        "s=-",
        f"c=IN IP[media_ip_type] {host}",
        "t=0 0",
    )
    return "\n".join((*head, *streams)) + "\n"


OFFER = sdp()


def send(
    method: str,
    number: int = 1,
    headers: Iterable[str] = (),
    body: str = "",
    *,
    kind: str = "application/sdp",
    uri: str | None = None,
    inside: bool | None = None,
    branch: str = "[branch]",
    contact: str = CONTACT,
    hops: int = 70,
) -> str:
    """One request, repeated until it is answered; `inside` the dialog unless it is the first
    INVITE (CSeq 1) or said otherwise.
    """
    within = (method, number) != ("INVITE", 1) if inside is None else inside
    target = uri or (INSIDE if within else OUTSIDE)
    lines = [
        f"{method} {target} SIP/2.0",
        f"Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}",
        *(["[routes]"] if within else []),
        'From: "Zofia" <sip:+48600111222@[local_ip]:[local_port]>;tag=[pid]SIPp[call_number]',
        f"To: <sip:[service]@[remote_ip]:[remote_port]>{'[peer_tag_param]' if within else ''}",
        "Call-ID: [call_id]",
        f"CSeq: {number} {method}",
        f"Contact: {contact}",
        f"Max-Forwards: {hops}",
        *headers,
    ]
    if body:
        lines.append(f"Content-Type: {kind}")
    lines.append(f"Content-Length: {'[len]' if body else 0}")
    text = "\n".join((*lines, "", body))
    again = "" if method == "ACK" else ' retrans="500"'
    return f"<send{again}><![CDATA[\n{text}\n]]></send>"


def expect(
    status: int, has: Sequence[str] = (), lacks: Sequence[str] = (), number: str = ""
) -> str:
    """A response. The first number in the header `number` is kept, as `[$number]`."""
    return _receive(f'response="{status}"', has, lacks, rrs=100 < status < 300, number=number)


def expect_request(
    method: str, has: Sequence[str] = (), lacks: Sequence[str] = (), *, kept: bool = False
) -> str:
    """A request of the agent, which is then to be answered with `answer`.

    It is `kept` where other messages come before its answer.
    """
    return _receive(f'request="{method}"', has, lacks, rrs=False, kept=_COPIED if kept else ())


def maybe(*statuses: int) -> str:
    """Responses that may come here."""
    return "".join(f'<recv response="{status}" optional="true"/>' for status in statuses)


def answer(
    status: str = "200 OK",
    headers: Iterable[str] = (),
    body: str = "",
    *,
    kept: bool = False,
    tag: str = "",
) -> str:
    """The answer to the request that came last, or to the one that was `kept`; `tag` is ours where
    the request begins a dialog.
    """
    copied = [f"{name}:[${name}]" if kept else f"[last_{name}:]" for name in _COPIED]
    if tag:
        copied[_COPIED.index("To")] += f";tag={tag}"
    lines = [f"SIP/2.0 {status}", *copied, "Call-ID: [call_id]", *headers]
    if body:
        lines += [f"Contact: {CONTACT}", "Content-Type: application/sdp"]
    lines.append(f"Content-Length: {'[len]' if body else 0}")
    text = "\n".join((*lines, "", body))
    return f"<send><![CDATA[\n{text}\n]]></send>"


def pause(milliseconds: int) -> str:
    return f'<pause milliseconds="{milliseconds}"/>'


def write(path: Path, name: str, steps: Iterable[str]) -> None:
    """The scenario as a file for SIPp."""
    body = "\n".join(steps)
    used = sorted(set(re.findall(r'assign_to="(\w+)"', body)))
    reference = f'<Reference variables="{",".join(used)}"/>' if used else ""
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE scenario SYSTEM "sipp.dtd">\n'
        f"<scenario name={quoteattr(name)}>\n{body}\n"
        f"{reference}\n</scenario>\n"
    )


def _receive(
    what: str,
    has: Sequence[str],
    lacks: Sequence[str],
    *,
    rrs: bool,
    number: str = "",
    kept: Sequence[str] = (),
) -> str:
    checks = [
        f'<ereg regexp={quoteattr(one)} search_in="msg" check_it="true" assign_to="{n}"/>'
        for n, one in enumerate(has, 1)
    ]
    checks += [
        f'<ereg regexp={quoteattr(one)} search_in="msg" check_it_inverse="true" assign_to="{n}"/>'
        for n, one in enumerate(lacks, len(has) + 1)
    ]
    if number:
        checks.append(
            f'<ereg regexp="[0-9]+" search_in="hdr" header="{number}:" assign_to="number"/>'
        )
    checks += [
        f'<ereg regexp=".*" search_in="hdr" header="{name}:" assign_to="{name}"/>' for name in kept
    ]
    actions = f"<action>{''.join(checks)}</action>" if checks else ""
    routes = ' rrs="true"' if rrs else ""
    return f"<recv {what}{routes}>{actions}</recv>"


ANSWERED = (
    send("INVITE", body=OFFER),
    maybe(100, 180),
    expect(200, has=["m=audio [1-9]", "Contact: <sip:"]),
    send("ACK"),
)
"""An ordinary call that is up; the next CSeq is 2."""


def answered_with(*has: str, headers: tuple[str, ...] = (), body: str = OFFER) -> tuple[str, ...]:
    """A call whose 200 holds what is said; the next CSeq is 2."""
    return send("INVITE", headers=headers, body=body), maybe(100), expect(200, has=has), send("ACK")


def refused(
    status: int, *has: str, headers: tuple[str, ...] = (), body: str = OFFER, **options: str
) -> tuple[str, ...]:
    """An INVITE that gets a failure, which the transaction acknowledges."""
    return (
        send("INVITE", headers=headers, body=body, branch="z9hG4bK[call_id]i", **options),  # type: ignore[arg-type]
        maybe(100),
        expect(status, has=has),
        send("ACK", inside=True, uri="sip:x@[remote_ip]", branch="z9hG4bK[call_id]i"),
    )


def reinvite(
    number: int,
    body: str,
    *has: str,
    lacks: tuple[str, ...] = (),
    headers: tuple[str, ...] = (),
    contact: str = CONTACT,
) -> tuple[str, ...]:
    """A re-INVITE that is taken."""
    return (
        send("INVITE", number, headers, body, contact=contact),
        maybe(100),
        expect(200, has=has, lacks=lacks),
        send("ACK", number),
    )


def update(
    number: int, body: str, *has: str, lacks: tuple[str, ...] = (), headers: tuple[str, ...] = ()
) -> tuple[str, ...]:
    """An UPDATE that is taken (RFC 3311)."""
    return send("UPDATE", number, headers, body), expect(200, has=has, lacks=lacks)


def key(number: int, digit: str) -> tuple[str, ...]:
    """A key, as application/dtmf-relay."""
    body = f"Signal={digit}\nDuration=160\n"
    return send("INFO", number, body=body, kind="application/dtmf-relay"), expect(200)


def finished(number: int) -> tuple[str, ...]:
    """A finish key once the greeting and the beep are over; then the agent hangs up."""
    return pause(3000), *key(number, "#")


def goodbye(number: int) -> tuple[str, ...]:
    """The caller hangs up."""
    return send("BYE", number), expect(200)
