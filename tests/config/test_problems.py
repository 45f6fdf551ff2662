"""Every mistake is reported at its place, with what to write instead, all in one reading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sipmail.config.loader import load
from sipmail.config.model import Mailbox
from sipmail.config.wording import keys
from sipmail.errors import ConfigError

Problems = Callable[..., list[str]]
MAILBOX = "users: [anna]"


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        # Keys
        ("country", "contry", "1:1: contry: unknown key: did you mean country?"),
        ("maildir", "mail-dir", "8:3: mail.mail-dir: unknown key: did you mean maildir?"),
        ("maildir", "hours: x\n  maildir",
         "8:3: mail.hours: unknown key here: it belongs in mailboxes.NAME or mailboxes.NAME.users"),
        ("maildir", "qqq: x\n  maildir",
         "8:3: mail.qqq: unknown key: the keys here are from, envelope_from, smtp, maildir, admin"),
        ("  from:", "  from_:", "7:3: mail.from_: unknown key: remove it"),
        (MAILBOX, MAILBOX + "\n    key: x", "16:5: mailboxes.sales.key: unknown key: remove it"),
        ("country: PL", "country: PL\ncountry: PL",
         "2:1: country: this key stands twice, first in line 1: remove one"),
        ("  from: Voicemail <voicemail@example.com>\n", "",
         "6:1: mail.from: is missing: write from: Voicemail <voicemail@example.com>"),
        ("  maildir: mail", "  smtp: {}",
         "8:3: mail.smtp.host: is missing: write host: smtp.example.com"),
        # Types
        ("country: PL", "country: PL\nrtp: 5",
         "2:6: rtp: a mapping is wanted here: write its keys below, indented"),
        ("[anna]", "anna", "15:12: mailboxes.sales.users: a list is wanted here: write [anna]"),
        ('["201"]', '"201"',
         '14:14: mailboxes.sales.numbers: a list is wanted here: write ["201"]'),
        ('["201"]', "[201]",
         '14:15: mailboxes.sales.numbers: YAML reads 201 as a number: put it in quotes: "201"'),
        ('["201"]', "[48221234567]", "14:15: mailboxes.sales.numbers: YAML reads 48221234567 as"
         ' a number: put it in quotes: "48221234567"'),
        ('["201"]', "[yes]", "14:15: mailboxes.sales.numbers: YAML reads yes as true or false:"
         ' put it in quotes: "yes"'),
        ('["201"]', "[[]]", "14:15: mailboxes.sales.numbers: text is wanted here: write one value"),
        ('["201"]', '["a b"]', "14:15: mailboxes.sales.numbers: 'a b' is no number:"
         ' write it like "201" or "+48221234567"'),
        (MAILBOX, MAILBOX + "\n    name: off", "16:11: mailboxes.sales.name: YAML reads off as"
         ' true or false: put it in quotes: "off"'),
        (MAILBOX, MAILBOX + "\n    name:", "16:10: mailboxes.sales.name: has no value:"
         " write one, or take the key out"),
        (MAILBOX, MAILBOX + '\n    name: "a\\nb"', "16:11: mailboxes.sales.name: has a line break"
         " or a control character: write it on one line"),
        (MAILBOX, MAILBOX + "\n    missed_calls: maybe", "16:19: mailboxes.sales.missed_calls:"
         " maybe is neither true nor false: write true or false"),
        (MAILBOX, MAILBOX + "\n    attachment: mp4", "16:17: mailboxes.sales.attachment: mp4 is not"
         " possible here: write mp3, wav, ulaw, alaw, flac, opus; did you mean mp3?"),
        ("country", "limits: {calls: yes}\ncountry",
         "1:17: limits.calls: true is no number: write one in digits"),
        ("country", "limits: {calls: few}\ncountry",
         "1:17: limits.calls: few is no whole number: write it in digits"),
        ("country", "limits: {calls: 0}\ncountry",
         "1:17: limits.calls: 0 is out of range: write at least 1"),
        ("country", "rtp: {codecs: []}\ncountry",
         "1:7: rtp.codecs: at least one entry is wanted here: add it"),
        ("country", "rtp: {workers: many}\ncountry", "1:16: rtp.workers: the number of media"
         " workers is wanted here: write auto, or 1 or more"),
        # Values
        ("country: PL", "country: NO",
         '1:10: country: YAML reads this as true or false: put it in quotes, like "NO"'),
        ("country: PL", "country: pl",
         "1:10: country: countries are written in capital letters: write PL"),
        ("country: PL", "country: Poland",
         "1:10: country: the country 'Poland' is unknown: write its two letters, like PL"),
        ("country", "language: de\ncountry",
         "1:11: language: de is not possible here: write pl, en"),
        ("country", "timezone: Europe/Warszawa\ncountry", "1:11: timezone: the time zone"
         " 'Europe/Warszawa' is unknown: did you mean Europe/Warsaw?"),
        ("country", "keep: 7 days\ncountry",
         "1:7: keep: '7 days' is no duration: write it like 30s, 5m, 2h or 30d"),
        ("country", "http: 8080\ncountry",
         "1:7: http: 8080 has no host: write 127.0.0.1:8080 (or 0.0.0.0:8080)"),
        ("jan@", "jan#", "11:8: users.jan: 'jan#example.com' is no e-mail address:"
         " write it like name@example.com"),
        (MAILBOX, MAILBOX + '\n    reply_to: "a@x.pl\\r\\nBcc: b@x.pl"', "16:15: mailboxes.sales"
         ".reply_to: 'a@x.pl\\r\\nBcc: b@x.pl' has a blank: write it like Name <name@example.com>"),
        (MAILBOX, MAILBOX + "\n    hours: Mo-Fr 8-16", "16:12: mailboxes.sales.hours: 'Mo-Fr 8-16'"
         " cannot be understood from '8-16' on: write it like \"Mo-Fr 08:00-16:00; PH off\""),
        ("[anna]", "[{user: anna, hours: sometimes}]", "15:33: mailboxes.sales.users.hours:"
         " 'sometimes' cannot be understood: write it like \"Mo-Fr 08:00-16:00; PH off\""),
        (MAILBOX, MAILBOX + "\n    record: {finish_keys: x}", "16:27: mailboxes.sales.record"
         ".finish_keys: 'x' is no key of a telephone: write keys of 0-9 * #, like '#'"),
        (MAILBOX, MAILBOX + "\n    answer_after: 5m",
         "16:19: mailboxes.sales.answer_after: 5m is out of range: write at most 180"),
        ("accept_from: [198.51.100.0/24]", "registrar: pbx.example.com\n      username: x",
         "5:18: sip.trunks.carrier.registrar: a SIP URI is wanted here:"
         " write sip:pbx.example.com"),
        ("accept_from: [198.51.100.0/24]", "registrar: sip:200@pbx.example.com\n      username: x",
         "5:18: sip.trunks.carrier.registrar: names a server, not an account:"
         " write sip:pbx.example.com and username: apart"),
        ("accept_from: [198.51.100.0/24]", "registrar: sip:a;transport=ws\n      username: x",
         "5:18: sip.trunks.carrier.registrar: the transport ws is not supported:"
         " write udp, tcp or tls"),
        ("accept_from", 'password: ""\n      accept_from', "5:17: sip.trunks.carrier.password:"
         " is empty: write the password, or leave the key out"),
        ("accept_from", "password:\n      accept_from", "5:16: sip.trunks.carrier.password:"
         " is empty: write the password, or leave the key out"),
        ("accept_from", "password: 1234\n      accept_from", "5:17: sip.trunks.carrier.password:"
         " YAML reads this as a number: put it in quotes"),
        ("accept_from", "password: ${NO}\n      accept_from", "5:17: sip.trunks.carrier.password:"
         " the environment variable NO is not set: set it before the start"),
        ("accept_from", "password: #x\n      accept_from", "5:16: sip.trunks.carrier.password:"
         " a # begins a comment, so nothing is left: put it in quotes"),
        ("sip:\n", "sip:\n  listen: [5060]\n",
         "3:12: sip.listen: an address to listen at is wanted here: write it like"
         " udp://0.0.0.0:5060"),
        ("sip:\n", "sip:\n  public_address: pbx.example.com\n",
         "3:19: sip.public_address: 'pbx.example.com' is no IP address: write it like 203.0.113.7"),
        # One value against another
        ("[anna]", "[ana]",
         "15:13: mailboxes.sales.users: there is no user 'ana': did you mean anna?"),
        ("[anna]", "[qqq]",
         "15:13: mailboxes.sales.users: there is no user 'qqq': add it under users:"),
        ("[anna]", "[{usr: anna}]", "15:13: mailboxes.sales.users: a user is wanted here:"
         " write its name, or {user: NAME, hours: …}"),
        ("[anna]", "[{user: anna, hour: 24/7}]",
         "15:26: mailboxes.sales.users.hour: unknown key: did you mean hours?"),
        ("[anna]", "[]", "13:3: mailboxes.sales: nobody would get its messages:"
         " write users: [NAME] or emails: [ADDRESS]"),
        (MAILBOX, MAILBOX + '\n  b: {numbers: ["201"], users: [jan]}',
         "16:17: mailboxes.b.numbers: the number 201 stands in mailbox sales too:"
         " leave it in one place"),
        ('["201"]', '["221234567", "+48221234567"]',
         "14:28: mailboxes.sales.numbers: the number +48221234567 stands twice here:"
         " leave it in one place"),
        (MAILBOX, MAILBOX + '\n  "c d": {numbers: ["2"], users: [jan]}', "16:3: mailboxes.c d:"
         " 'c d' cannot be a name here: write letters, digits, - _ . only"),
        (MAILBOX, MAILBOX + "\n  200: {}",
         "16:3: mailboxes.200: YAML reads the key 200 as a number: put it in quotes"),
        (MAILBOX, MAILBOX + '\n    choice: {prompt: /dev/null, keys: {"1": slaes}}',
         "16:45: mailboxes.sales.choice.keys.1: there is no mailbox 'slaes': did you mean sales?"),
        (MAILBOX, MAILBOX + "\n    greeting_number: '298'",
         "16:22: mailboxes.sales.greeting_number: recording a greeting by phone needs both:"
         " write greeting_pin: too"),
        (MAILBOX, MAILBOX + "\n    greeting_number: '201'\n    greeting_pin: '4829'",
         "16:22: mailboxes.sales.greeting_number: the number 201 stands in mailbox sales too:"
         " leave it in one place"),
        (MAILBOX, MAILBOX + "\n    greeting_number: '298'\n    greeting_pin: '12'",
         "17:19: mailboxes.sales.greeting_pin: a PIN has 4 to 12 digits: write others, in quotes"),
        (MAILBOX, MAILBOX + "\n    greeting_number: '298'\n    greeting_pin: 4829",
         "17:19: mailboxes.sales.greeting_pin: YAML reads this as a number: put it in quotes"),
        (MAILBOX, MAILBOX + '\n    subject: "{{ whoo }}"',
         "16:14: mailboxes.sales.subject: there is no {{ whoo }}: did you mean who?"),
        (MAILBOX, MAILBOX + "\n    body: /dev/null\n    webhook: {url: ftp://example.com}",
         "17:20: mailboxes.sales.webhook.url: 'ftp://example.com' is no address:"
         " write it like https://example.com/path"),
        (MAILBOX, MAILBOX + "\n    command: []",
         "16:5: mailboxes.sales.command.run: at least one entry is wanted here: add it"),
        (MAILBOX, MAILBOX + '\n    choice: {keys: {"10": sales}}',
         "16:27: mailboxes.sales.choice.keys.10: '10' is no key of a telephone:"
         ' write one of 0-9 * #, like "1"'),
        (MAILBOX, MAILBOX + '\n    greeting: {temporary: {file: /dev/null, until: "tomorrow"}}',
         "16:52: mailboxes.sales.greeting.temporary.until: 'tomorrow' is no date:"
         ' write it like "2026-12-27" or "2026-12-27 08:00"'),
        (MAILBOX, MAILBOX + '\n    greeting: {temporary: {file: /dev/null}}',
         "16:16: mailboxes.sales.greeting.temporary.until: is missing:"
         ' write until: "2026-12-27"'),
        (MAILBOX, MAILBOX + "\n    record: {max: 20m}", "16:19: mailboxes.sales.record.max:"
         " record.max 20m is more than limits.message 10m: write max: 10m or less,"
         " or a larger limit"),
        ("country", "limits: {message: 1m}\ncountry", "1:19: limits.message: record.max 3m is more"
         " than limits.message 1m: write max: 1m or less, or a larger limit"),
        (MAILBOX, MAILBOX + "\n    record: {min: 3m}",
         "16:19: mailboxes.sales.record.min: 3m is not less than record.max: write 1s"),
        ("country", "rtp: {ports: 20000-20099}\nlimits: {calls: 200}\ncountry",
         "1:14: rtp.ports: 20000-20099 is too small for limits.calls: 200 (a call takes two ports,"
         " and they rest for some seconds after it): write ports up to 20499, or limits.calls: 40"),
        ("country", "limits: {calls: 501}\ncountry",
         "1:1: rtp.ports: 20000-20999 is too small for limits.calls: 501 (a call takes two ports,"
         " and they rest for some seconds after it): write ports up to 21253,"
         " or limits.calls: 400"),
        ("country", "rtp: {ports: 20001-20002}\ncountry", "1:14: rtp.ports: 20001-20002 has no even"
         " port with the odd one after it: add ports"),
        ("country", "rtp: {codecs: [PCMA, PCMA]}\ncountry",
         "1:7: rtp.codecs: PCMA stands twice: remove one"),
        ("accept_from: [198.51.100.0/24]", "username: x", "4:5: sip.trunks.carrier: no call can"
         " come from here: write registrar: sip:HOST to register there, or accept_from: [ADDRESS]"
         " for a trunk that does not register"),
        ("accept_from: [198.51.100.0/24]", "registrar: sip:pbx.example.com",
         "4:5: sip.trunks.carrier: a registrar needs an account: write username: too"),
        ("carrier:", "other: {accept_from: [198.51.100.0/24]}\n    carrier:",
         "6:21: sip.trunks.carrier.accept_from: 198.51.100.0/24 stands in trunk other too,"
         " which gets its calls: remove one"),
        ("accept_from", "mailbox: sale\n      accept_from", "5:16: sip.trunks.carrier.mailbox:"
         " there is no mailbox 'sale': did you mean sales?"),
        ("  maildir: mail\n", "", "6:1: mail: the e-mails have nowhere to go:"
         " write smtp: {host: …}, or maildir: ./mail"),
        ("  maildir: mail", "  smtp: {host: h, username: u}",
         "8:29: mail.smtp.username: a login needs both: write password: too"),
        ("  maildir: mail", "  smtp: {host: h, password: p}",
         "8:29: mail.smtp.password: a login needs both: write username: too"),
        ("  maildir: mail", "  smtp: {host: h, oauth: {tenant: t, client_id: c, client_secret: s}}",
         "8:19: mail.smtp.oauth: a login needs the account too: write username: in smtp"),
        ("  maildir: mail",
         "  smtp: {host: h, username: u, oauth: {client_id: c, client_secret: s}}",
         "8:32: mail.smtp.oauth: write either tenant: (Microsoft 365) or token_url: (others)"),
        ("  maildir: mail",
         "  smtp: {host: h, username: u, password: p, oauth:"
         " {tenant: t, client_id: c, client_secret: s}}",
         "8:42: mail.smtp.password: the login is by oauth: remove password:"),
        ("sip:\n", "sip:\n  listen: ['tls://0.0.0.0']\n",
         "3:12: sip.listen: tls needs a certificate: write certificate: and private_key: too"),
        ("sip:\n", "sip:\n  listen: [udp://127.0.0.1, udp://127.0.0.1:5060]\n",
         "3:29: sip.listen: this address stands twice: remove one"),
        ("country: PL\n", "mailboxes_: 5\ncountry: PL\n",
         "1:1: mailboxes_: unknown key: did you mean mailboxes?"),
    ],
)  # fmt: skip
def test_one_mistake(problems: Problems, old: str, new: str, problem: str) -> None:
    assert problems((old, new)) == [problem]


def test_holidays_without_a_country(problems: Problems) -> None:
    changes = ("country: PL\n", ""), (MAILBOX, MAILBOX + "\n    hours: Mo-Fr; PH off")
    assert problems(*changes) == [
        "15:12: mailboxes.sales.hours: PH needs to know whose public holidays:"
        " add country: (like PL) at the top"
    ]


def test_a_wrong_country_is_one_mistake(problems: Problems) -> None:
    changes = ("country: PL", "country: XX"), (MAILBOX, MAILBOX + "\n    hours: Mo-Fr; PH off")
    assert problems(*changes) == [
        "1:10: country: the country 'XX' is unknown: write its two letters, like PL"
    ]


def test_a_missing_greeting(problems: Problems, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    greeting = "\n    greeting: {default: gone.wav, busy: folder}"
    assert problems((MAILBOX, MAILBOX + greeting)) == [
        f"16:25: mailboxes.sales.greeting.default: there is no file {tmp_path}/gone.wav:"
        " write a path relative to the configuration file",
        f"16:41: mailboxes.sales.greeting.busy: {tmp_path}/folder is a folder:"
        " write the path of a file",
    ]
    (short,) = problems((MAILBOX, MAILBOX + "\n    greeting: gone.wav"))
    assert short.startswith("16:15: mailboxes.sales.greeting: there is no file")


def test_a_mistake_in_the_defaults_is_reported_once_and_there(problems: Problems) -> None:
    change = ("mailboxes:", "defaults: {attachment: ogg, record: {max: 1x}}\nmailboxes:")
    second = (MAILBOX, MAILBOX + "\n  b: {numbers: ['*'], users: [jan]}")
    assert problems(change, second) == [
        "12:24: defaults.attachment: ogg is not possible here:"
        " write mp3, wav, ulaw, alaw, flac, opus",
        "12:43: defaults.record.max: '1x' is no duration: write it like 30s, 5m, 2h or 30d",
    ]


def test_a_wrong_user_is_no_unknown_user(problems: Problems) -> None:
    (only,) = problems(("Anna <anna@example.com>", "nobody"))
    assert only.startswith("10:9: users.anna: 'nobody' is no e-mail address")


def test_all_mistakes_come_at_once_in_the_order_of_the_file(problems: Problems) -> None:
    found = problems(
        ("country: PL", "country: PL\nkeep: long"),
        ("accept_from", "acept_from"),
        ("maildir: mail", "admin: nobody"),
        ("[anna]", "[ana]"),
        ("s: [ana]", "s: [ana]\n  b: {numbers: ['5']}\n  c: {emails: [c@x.pl], numbers: ['5']}"),
    )
    assert [one.split(": ")[:2] for one in found] == [
        ["2:7", "keep"],
        ["6:7", "sip.trunks.carrier.acept_from"],
        ["9:10", "mail.admin"],
        ["16:13", "mailboxes.sales.users"],
        ["17:3", "mailboxes.b"],
        ["18:35", "mailboxes.c.numbers"],
    ]


def test_a_secret_is_never_repeated(problems: Problems) -> None:
    for written in ("012345", "1:23:45", "123456", "#23456x", "[s3cret]", "{a: s3cret}"):
        found = problems(("accept_from", f"password: {written}\n      accept_from"))
        assert len(found) == 1
        for part in ("012345", "1:23:45", "123456", "23456x", "s3cret"):
            assert part not in found[0]


def test_a_problem_is_one_line(problems: Problems) -> None:
    change = (MAILBOX, MAILBOX + '\n    "a\\nb\\e": x\n    attachment: "m\\np\\u2028 3"')
    assert problems(change) == [
        f"16:5: mailboxes.sales.a b : unknown key: the keys here are {', '.join(keys(Mailbox))}",
        "17:17: mailboxes.sales.attachment: m p  3 is not possible here:"
        " write mp3, wav, ulaw, alaw, flac, opus; did you mean mp3?",
    ]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, ": there is no such file"),
        (b"a: \xb3\n", ":1:4: the byte 0xb3 is not UTF-8: save the file as UTF-8"),
        (b"", ":1:1: the file is empty"),
        (b"a:\n\tb: 1", ":2:1: tabs cannot indent: write spaces"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, content: bytes | None, problem: str) -> None:
    path = tmp_path / "x.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}{problem}")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this is a folder: name the file in it"):
        load(tmp_path)
