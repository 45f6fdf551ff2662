"""INVITEs as the products of the field send them: which mailbox, who calls, why.

Of the files in `tests/data/invites`, `asterisk-pjsip-*` are what Asterisk 23.4.1 sent and
`freeswitch-*` what FreeSWITCH 1.11.1 did, with other addresses; the others are written after the
products' documentation and published traces. Names are made up. What is expected was read off them
by a person.
"""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from sipmail.cli import application
from sipmail.sip.message import check
from sipmail.spool.message import Caller
from sipmail.voicemail.caller import caller
from sipmail.voicemail.reason import Reason
from sipmail.voicemail.routing import Directory, Rule
from tests.voicemail.office import DATA, office, recorded

_APP = application(["explain"])
WITHHELD = Caller(withheld=True)
SALES, SERVICE = "+48221234567", "+48223334455"

# file: mailbox, the rule that chose it, the called number, the reason, the caller
EXPECTED = {
    "3cx-forwarded-to": (
        ("service", Rule.TO, "202", Reason.UNKNOWN),
        Caller("+48223001122", "Firma ABC Sp. z o.o."),
    ),
    "3cx-sip-trunk-did": (
        ("sales", Rule.REQUEST_URI, SALES, Reason.UNKNOWN),
        Caller("+491701234567"),
    ),
    "asterisk-chan-sip-busy": (
        ("service", Rule.DIVERSION, "202", Reason.BUSY),
        Caller("+48600123456", "KOWALSKI JAN"),
    ),
    "asterisk-pjsip-do-not-disturb": (
        ("service", Rule.DIVERSION, "202", Reason.UNAVAILABLE),
        Caller("205", "Jan"),
    ),
    "asterisk-pjsip-history-info": (
        ("service", Rule.HISTORY_INFO, "202", Reason.BUSY),
        Caller("+48600123456", "Anna Nowak"),
    ),
    "asterisk-pjsip-no-answer": (
        ("sales", Rule.DIVERSION, "201", Reason.NO_ANSWER),
        Caller("+48600123456", "Anna Nowak"),
    ),
    "asterisk-pjsip-unknown-word": (
        ("service", Rule.DIVERSION, "202", Reason.NO_ANSWER),
        Caller("+48600111222", "Zofia"),
    ),
    "asterisk-pjsip-withheld": (("sales", Rule.DIVERSION, "201", Reason.NO_ANSWER), WITHHELD),
    "avaya-ip-office-target": (
        ("service", Rule.REQUEST_URI, "202", Reason.UNKNOWN),
        Caller("210", "Extn210"),
    ),
    "avaya-session-manager-coverage": (
        ("sales", Rule.HISTORY_INFO, "201", Reason.BUSY),
        Caller("5001", "Lech Wolny"),
    ),
    "broadworks-no-answer": (
        ("sales", Rule.DIVERSION, SALES, Reason.NO_ANSWER),
        Caller("+48603444555", "Pawel Maj"),
    ),
    "carrier-phone-context": (
        ("sales", Rule.REQUEST_URI, SALES, Reason.UNKNOWN),
        Caller("+48608999000"),
    ),
    "cisco-cube-carrier": (
        ("sales", Rule.DIVERSION, SALES, Reason.BUSY),
        Caller("+48602333444"),
    ),
    "cucm-no-answer-late-offer": (
        ("service", Rule.DIVERSION, "202", Reason.NO_ANSWER),
        Caller("1112", "Jan Nowak"),
    ),
    "cucm-operator-forwards": (
        ("sales", Rule.DIVERSION, "201", Reason.BUSY),
        Caller("+48600123456"),
    ),
    "freepbx-ring-group": (
        ("sales", Rule.REQUEST_URI, "201", Reason.UNKNOWN),
        Caller("+48600123456"),
    ),
    "freeswitch-asserted-identity": (
        ("service", Rule.DIVERSION, "202", Reason.BUSY),
        Caller("+48602333444", "MARIA WISNIEWSKA"),
    ),
    "freeswitch-not-registered": (
        ("service", Rule.DIVERSION, "202", Reason.UNAVAILABLE),
        Caller("+48602333444", "MARIA WISNIEWSKA"),
    ),
    "freeswitch-privacy-full": (("sales", Rule.REQUEST_URI, "201", Reason.UNKNOWN), WITHHELD),
    "fritzbox-p-called-party-id": (
        ("home", Rule.CALLED_PARTY, "**622", Reason.UNKNOWN),
        Caller("+48602333444", "Ewa Lis"),
    ),
    "fritzbox-withheld": (("home", Rule.CALLED_PARTY, "**622", Reason.UNKNOWN), WITHHELD),
    "fusionpbx-unconditional": (
        ("service", Rule.DIVERSION, SERVICE, Reason.UNCONDITIONAL),
        Caller("+48602333444", "MARIA WISNIEWSKA"),
    ),
    "grandstream-ucm-time-of-day": (
        ("service", Rule.DIVERSION, "202", Reason.UNCONDITIONAL),
        Caller("+48221110000", "Biuro Rachunkowe"),
    ),
    "ims-history-info-not-reachable": (
        ("service", Rule.HISTORY_INFO, SERVICE, Reason.UNAVAILABLE),
        Caller("+48604555666"),
    ),
    "kamailio-diversion-module": (
        ("sales", Rule.DIVERSION, "201", Reason.BUSY),
        Caller("+48600123456", "Anna"),
    ),
    "kamailio-rfc4458-target": (
        ("sales", Rule.TARGET, "201", Reason.NO_ANSWER),
        Caller("+48602333444"),
    ),
    "metaswitch-tel-uris": (
        ("sales", Rule.DIVERSION, SALES, Reason.NO_ANSWER),
        Caller("+48607888999", "Olga"),
    ),
    "openscape-compact-forms": (
        ("sales", Rule.REQUEST_URI, "201", Reason.NO_ANSWER),
        Caller("410", "Nowak, Zenon"),
    ),
    "opensips-uac-diversion": (
        ("sales", Rule.REQUEST_URI, SALES, Reason.UNCONDITIONAL),
        Caller("+48602333444"),
    ),
    "polish-carrier-without-plus": (
        ("sales", Rule.REQUEST_URI, SALES, Reason.UNKNOWN),
        Caller("+48605666777"),
    ),
    "ribbon-sonus-isup": (
        ("sales", Rule.DIVERSION, SALES, Reason.UNKNOWN),
        Caller("+48606777888", "WOJCIK T"),
    ),
    "softphone-sip-address": (
        ("sales", Rule.REQUEST_URI, "sprzedaz", Reason.UNKNOWN),
        Caller("zofia@example.org", "Zofia Dąb"),
    ),
    "teams-direct-routing": (
        ("service", Rule.HISTORY_INFO, SERVICE, Reason.UNCONDITIONAL),
        Caller("+48609000111", "Agata Sowa"),
    ),
    "twilio-elastic-trunk": (
        ("sales", Rule.REQUEST_URI, SALES, Reason.UNCONDITIONAL),
        Caller("+14155550123"),
    ),
    "yeastar-iso-8859-2": (
        ("sales", Rule.REQUEST_URI, "201", Reason.UNKNOWN),
        Caller("+48601222333", "Wiesław Żółć"),
    ),
}


def test_every_file_is_expected() -> None:
    assert sorted(path.stem for path in DATA.glob("*.sip")) == sorted(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_invite(name: str) -> None:
    request = recorded(name)
    check(request)
    match = Directory(office()).find(request, None)
    assert match is not None
    found = (match.mailbox.key, match.rule, match.called, match.reason)
    assert (found, caller(request, "PL")) == EXPECTED[name]


@pytest.mark.parametrize("name", EXPECTED)
def test_the_files_are_whole(name: str) -> None:
    data = (DATA / f"{name}.sip").read_bytes()
    head, _, body = data.partition(b"\r\n\r\n")
    assert b"\n" not in head.replace(b"\r\n", b"")
    assert re.findall(rb"\r\n(?:Content-Length|l) *: *([0-9]+)", head) == [b"%d" % len(body)]


OFFICE = """
language: pl
country: PL
timezone: Europe/Warsaw
sip:
  trunks:
    pbx: {registrar: "sip:pbx.example.com", username: "200", password: x}
    carrier: {accept_from: [192.0.2.0/24]}
mail: {from: voicemail@example.com, maildir: ./mail}
spool: ./spool
mailboxes:
  sales: {numbers: ["201", "+48221234567", sprzedaz], emails: [a@example.com]}
  service: {numbers: ["202", "+48223334455"], emails: [a@example.com]}
  home: {numbers: ["**622"], emails: [a@example.com]}
"""


@pytest.fixture(scope="module")
def configuration(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("office") / "sipmail.yaml"
    path.write_text(OFFICE)
    return str(path)


@pytest.mark.parametrize("name", EXPECTED)
def test_sipmail_explain_says_so(name: str, configuration: str) -> None:
    result = CliRunner().invoke(_APP, ["explain", str(DATA / f"{name}.sip"), "-c", configuration])
    assert result.exit_code == 0
    said = dict(re.findall(r"^(\w+): +(.*)$", result.output, re.MULTILINE))
    (mailbox, _, called, reason), who = EXPECTED[name]
    known = " ".join(filter(None, (who.number, who.name)))
    assert said["Caller"] == ("withheld" if who.withheld else known)
    assert said["Mailbox"] == f"{mailbox} ({mailbox})"
    assert said["Called"].split()[0] == called
    assert said["Reason"] == reason
