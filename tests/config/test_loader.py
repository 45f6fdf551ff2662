"""A file that is right becomes the values that the other rooms read."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest

from sipmail.config.loader import find, load
from sipmail.config.model import Address, Config, HostPort, PortRange
from sipmail.errors import ConfigError

Read = Callable[..., Config]


def test_defaults_of_a_short_file(read: Read, tmp_path: Path) -> None:
    config = read()
    assert config.path == tmp_path / "sipmail.yaml"
    assert config.language == "en"
    assert [one.url for one in config.sip.listen] == ["udp://0.0.0.0:5060"]
    assert config.rtp.ports == PortRange(20000, 20999)
    assert config.rtp.codecs == ("PCMA", "PCMU")
    assert config.rtp.timeout == 30
    assert config.limits.calls == 200
    assert config.limits.message == 600
    assert config.limits.free_disk == 500 * 1024**2
    assert config.keep == 7 * 24 * 3600
    assert config.shutdown_grace == 30
    assert config.spool == Path("/var/lib/sipmail")
    assert config.http is None
    assert config.warnings == ()
    sales = config.mailboxes["sales"]
    assert (sales.key, sales.name, sales.language) == ("sales", "sales", "en")
    assert (sales.record.max, sales.record.min, sales.record.silence) == (180, 1, 8)
    assert (sales.record.finish_keys, sales.attachment, sales.after) == ("#", "mp3", "thanks")
    assert sales.missed_calls is True
    assert sales.greeting.default is None
    assert config.routing[:2] == ("trunk", "target")


def test_paths_start_from_the_file(read: Read, tmp_path: Path) -> None:
    (tmp_path / "hello.wav").touch()
    config = read(
        ("users: [anna]", "users: [anna]\n    greeting: hello.wav"),
        ("maildir: mail", "maildir: ./x/../mail"),
    )
    assert config.mail.maildir == tmp_path / "mail"
    assert config.mailboxes["sales"].greeting.default == tmp_path / "hello.wav"


def test_numbers_are_in_the_form_for_comparing(read: Read) -> None:
    config = read(('["201"]', '["201", "221234567", "0048 600 123 456", "*", "*98"]'))
    numbers = config.mailboxes["sales"].numbers
    assert numbers == ("201", "+48221234567", "+48600123456", "*", "*98")


def test_users_and_their_hours(read: Read) -> None:
    config = read(("[anna]", '[anna, {user: jan, hours: "Sa,Su,PH"}]'))
    anna, jan = config.mailboxes["sales"].users
    assert (anna.key, anna.user, anna.hours) == ("anna", Address("Anna", "anna@example.com"), None)
    assert (jan.key, jan.user, jan.hours) == ("jan", Address("", "jan@example.com"), "Sa,Su,PH")


def test_defaults_reach_every_mailbox_that_does_not_set_the_key(read: Read, tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        (tmp_path / name).touch()
    config = read(
        ("mailboxes:", "defaults:\n  record: {max: 5m, silence: 0s}\n  greeting: {closed: a.wav}\n"
         "  missed_calls: false\n  hours: 24/7\n  language: pl\nmailboxes:"),
        ("users: [anna]", "users: [anna]\n    record: {max: 2m}\n    greeting: b.wav\n"
         "    hours: null\n  other: {emails: [x@example.com], numbers: ['*'], missed_calls: true}"),
    )  # fmt: skip
    sales, other = config.mailboxes["sales"], config.mailboxes["other"]
    assert (sales.record.max, sales.record.silence, sales.record.min) == (120, 0, 1)
    assert (other.record.max, other.record.silence) == (300, 0)
    assert sales.greeting.default == tmp_path / "b.wav"
    assert sales.greeting.closed == other.greeting.closed == tmp_path / "a.wav"
    assert other.greeting.default is None
    assert (sales.missed_calls, other.missed_calls) == (False, True)
    assert (sales.hours, other.hours) == (None, "24/7")
    assert sales.language == other.language == "pl"


def test_the_language_of_the_file_is_that_of_its_mailboxes(read: Read) -> None:
    assert read(("country", "language: pl\ncountry")).mailboxes["sales"].language == "pl"


def test_the_time_zone_of_the_file_is_that_of_its_mailboxes(read: Read) -> None:
    config = read(
        ("country", "timezone: Asia/Tokyo\ncountry"),
        (
            "users: [anna]",
            "users: [anna]\n  away: {emails: [x@example.com], timezone: Europe/Lisbon}",
        ),
    )
    assert str(config.mailboxes["sales"].timezone) == "Asia/Tokyo"
    assert str(config.mailboxes["away"].timezone) == "Europe/Lisbon"
    assert read().mailboxes["sales"].timezone == read().timezone


def test_trunks(read: Read, tmp_path: Path) -> None:
    config = read(
        ("  trunks:", "  trunks:\n    pbx: {registrar: 'sip:pbx.example.com;transport=tcp',"
         " username: '200', password: '${P}', expires: 10m, mailbox: sales}"),
        ("country", "http: '[::1]:0'\ncountry"),
        env={"P": "s3cret"},
    )  # fmt: skip
    pbx, carrier = config.sip.trunks["pbx"], config.sip.trunks["carrier"]
    assert pbx.registrar == "sip:pbx.example.com;transport=tcp"
    assert (pbx.name, pbx.username, pbx.expires, pbx.keepalive) == ("pbx", "200", 600, 25)
    assert pbx.password is not None
    assert pbx.password.get_secret_value() == "s3cret"
    assert pbx.mailbox == "sales"
    assert carrier.accept_from == (ip_network("198.51.100.0/24"),)
    assert config.http == HostPort("::1", 0)


def test_printing_shows_no_password_and_pickling_keeps_it(read: Read) -> None:
    config = read(
        ("  maildir", "  smtp: {host: h, username: u, password: '${P}'}\n  maildir"),
        env={"P": "s3cret"},
    )
    assert "s3cret" not in f"{config!r} {config} {config.mail.smtp!r} {config.model_dump()}"
    again = pickle.loads(pickle.dumps(config))
    assert again == config
    assert again.mail.smtp.password.get_secret_value() == "s3cret"


def test_the_configuration_cannot_be_changed(read: Read) -> None:
    config = read()
    with pytest.raises(ValueError, match="frozen"):
        config.keep = 1.0  # type: ignore[misc]


def test_the_port_of_a_mail_server_follows_its_security(read: Read) -> None:
    for security, port in (("starttls", 587), ("tls", 465), ("none", 25)):
        smtp = read(("maildir: mail", f"smtp: {{host: h, security: {security}}}")).mail.smtp
        assert smtp is not None
        assert smtp.port == port


def test_the_certificate_serves_every_tls_listener_without_its_own(
    read: Read, tmp_path: Path
) -> None:
    for name in ("c.pem", "k.pem", "own.pem"):
        (tmp_path / name).touch()
    config = read(
        ("sip:", "sip:\n  certificate: c.pem\n  private_key: k.pem\n  listen: [udp://127.0.0.1:0,"
         " tls://0.0.0.0, {url: 'tls://[::1]:5071', certificate: own.pem, private_key: own.pem}]")
    )  # fmt: skip
    udp, tls, own = config.sip.listen
    assert (udp.certificate, udp.port) == (None, 0)
    assert (tls.certificate, tls.private_key) == (tmp_path / "c.pem", tmp_path / "k.pem")
    assert (own.certificate, own.url) == (tmp_path / "own.pem", "tls://[::1]:5071")


def test_without_a_limit_there_are_as_many_calls_as_ports_carry(read: Read) -> None:
    assert read(("mail:", "rtp: {ports: 20000-20019}\nmail:")).limits.calls == 10
    assert read(("mail:", "rtp: {ports: 20000-29999}\nmail:")).limits.calls == 200


@pytest.mark.parametrize("key", ["users", "defaults", "rtp", "limits"])
def test_a_section_with_all_its_keys_commented_out(read: Read, key: str) -> None:
    if key == "users":
        text = "users:\n  anna: Anna <anna@example.com>\n  jan: jan@example.com\n"
        config = read((text, "users:\n"), ("users: [anna]", "emails: [x@example.com]"))
        assert config.users == {}
    else:
        assert read(("mail:", f"{key}:\n  # nothing\nmail:"))


def test_a_byte_order_mark_is_no_text(write: Callable[..., Path]) -> None:
    path = write()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert load(path).country == "PL"


def test_the_file_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find(Path("named.yaml")) == Path("named.yaml")
    monkeypatch.setattr(
        "sipmail.config.loader.SEARCHED", (Path("sipmail.yaml"), tmp_path / "etc.yaml")
    )
    with pytest.raises(ConfigError, match=r"nor .*: write one like sipmail.example.yaml"):
        find(None)
    (tmp_path / "etc.yaml").touch()
    assert find(None) == tmp_path / "etc.yaml"
    (tmp_path / "sipmail.yaml").touch()
    assert find(None) == Path("sipmail.yaml")


def test_warnings_leave_the_configuration_usable(read: Read) -> None:
    config = read(
        ("[198.51.100.0/24]", "[0.0.0.0/0]"),
        ("maildir: mail", "smtp: {host: h, security: none, username: u, password: p}"),
        ("  sales:", "  idle: {emails: [x@example.com]}\n  sales:"),
        ("country", "limits: {calls: 401}\ncountry"),
    )
    assert [str(one).removeprefix(f"{config.path}:") for one in config.warnings] == [
        "1:1: rtp.ports: 20000-20999 is just enough for limits.calls: 401, but ports rest for some"
        " seconds after a call: one that comes when all were in use gets 503: write ports up to"
        " 21003, or limits.calls: 400",
        "6:21: sip.trunks.carrier.accept_from: 0.0.0.0/0 lets anybody leave messages:"
        " write the provider's addresses, or a password:",
        "9:29: mail.smtp.security: the password would cross the network in the clear:"
        " write starttls or tls",
        '14:3: mailboxes.idle: no call leads here: write numbers: ["201"], or mailbox: in a trunk',
    ]


def test_sounds_in_the_language_of_the_mailbox(tmp_path: Path, read: Read) -> None:
    for language in ("pl", "en"):
        (tmp_path / language).mkdir()
        (tmp_path / language / "hello.wav").touch()
    config = read(
        ("country: PL", "country: PL\nlanguage: pl"),
        (
            "mailboxes:",
            "defaults: {greeting: '{language}/hello.wav'}\nmailboxes:\n"
            "  foreign: {numbers: ['9'], users: [anna], language: en}",
        ),
    )
    greetings = {key: box.greeting.default for key, box in config.mailboxes.items()}
    assert greetings["foreign"] == tmp_path / "en" / "hello.wav"
    assert greetings["sales"] == tmp_path / "pl" / "hello.wav"
