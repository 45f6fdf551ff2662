"""SIPp as a caller: one call that listens, streams G.711 from a file, and hangs up.

The file holds raw G.711, so what SIPp sends is known to the byte.
"""

from __future__ import annotations

from pathlib import Path
from xml.sax.saxutils import escape

from tests.interop.scenario import Sipp

_NAMES = {0: "PCMU", 8: "PCMA"}

_SCENARIO = """<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE scenario SYSTEM "sipp.dtd">
<scenario name="leaves a message">
  <send retrans="500"><![CDATA[
INVITE sip:{number}@[remote_ip]:[remote_port] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
From: "{display}" <sip:{user}@[local_ip]:[local_port]>;tag=[pid]SIPpTag[call_number]
To: <sip:{number}@[remote_ip]:[remote_port]>
Call-ID: [call_id]
CSeq: 1 INVITE
Contact: <sip:{user}@[local_ip]:[local_port]>
Max-Forwards: 70
Content-Type: application/sdp
Content-Length: [len]

v=0
o=sipp 1 1 IN IP4 [local_ip]
s=-
c=IN IP4 [media_ip]
t=0 0
m=audio [rtpstream_audio_port] RTP/AVP {format}
a=rtpmap:{format} {name}/8000
a=ptime:20
  ]]></send>
  <recv response="100" optional="true"/>
  <recv response="180" optional="true"/>
  <recv response="183" optional="true"/>
  <recv response="200" rrs="true" rtd="true"/>
  <send><![CDATA[
ACK [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
[routes]
From: "{display}" <sip:{user}@[local_ip]:[local_port]>;tag=[pid]SIPpTag[call_number]
To: <sip:{number}@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 1 ACK
Max-Forwards: 70
Content-Length: 0

  ]]></send>
  <pause milliseconds="{listen}"/>
  <nop><action>
    <exec rtp_stream="{file},1,{format},{name}/8000"/>
  </action></nop>
  <pause milliseconds="{talk}"/>
  <send retrans="500"><![CDATA[
BYE [next_url] SIP/2.0
Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]
[routes]
From: "{display}" <sip:{user}@[local_ip]:[local_port]>;tag=[pid]SIPpTag[call_number]
To: <sip:{number}@[remote_ip]:[remote_port]>[peer_tag_param]
Call-ID: [call_id]
CSeq: 2 BYE
Max-Forwards: 70
Content-Length: 0

  ]]></send>
  <recv response="200"/>
</scenario>
"""


def leave_message(
    program: str,
    folder: Path,
    target: tuple[str, int],
    number: str,
    sound: Path,
    *,
    payload_type: int,
    user: str,
    display: str,
    listen: float,
) -> None:
    """Calls `number` at `target`, waits `listen` seconds, streams `sound` (raw G.711), hangs up.

    AssertionError with SIPp's own words when the call does not go as the scenario says.
    """
    talk = sound.stat().st_size / 8000 + 0.5
    scenario = folder / "scenario.xml"
    scenario.write_text(
        _SCENARIO.format(
            number=number,
            user=user,
            display=escape(display),
            format=payload_type,
            name=_NAMES[payload_type],
            listen=round(listen * 1000),
            talk=round(talk * 1000),
            file=sound,
        )
    )
    Sipp(
        program, folder, "scenario", target, file=scenario, seconds=listen + talk + 30, patience=30
    ).finish()
