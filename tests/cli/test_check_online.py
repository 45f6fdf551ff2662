"""`sipmail check --online`: what it finds on this machine, at registrars and at mail servers."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sipmail.agent import machine, reach
from sipmail.agent.step import Step, Verdict
from sipmail.config.model import Config
from sipmail.spool.spool import Spool
from tests.cli.conftest import Sipmail, Site
from tests.support.ports import free_range
from tests.support.registrar import Registrar
from tests.support.smtp import SmtpServer

RIGHT, NOTE, FAILED = Verdict.RIGHT, Verdict.NOTE, Verdict.FAILED


def with_trunk(registrar: str, **keys: object) -> dict[str, object]:
    trunk = {"registrar": registrar, "username": "200", "password": "secret", **keys}
    return {"sip": {"trunks": {"pbx": trunk, "local": None}}}


def at(registrar: Registrar, **keys: object) -> dict[str, object]:
    return with_trunk(f"sip:{registrar.host}:{registrar.port}", **keys)


def only(steps: object) -> Step:
    (step,) = steps  # type: ignore[misc]
    return step


# The command


def test_everything_is_right(
    site: Site, sipmail: Sipmail, registrar: Registrar, smtp_server: SmtpServer
) -> None:
    config = site(smtp_server, **at(registrar))
    result = sipmail("check", "--online")
    assert result.status == 0, result.out
    first, *steps = result.out.splitlines()
    assert first == "sipmail.yaml: right. Trunks: pbx; mailboxes: sales"
    assert all(line.startswith("✓") for line in steps)
    assert [line[3:16].strip() for line in steps] == [
        "spool",
        "disk",
        "open files",
        "listen",
        "rtp ports",
        "greetings",
        "trunk pbx",
        "trunk pbx",
        "mail",
    ]
    assert smtp_server.delivered == []
    assert not config.spool.exists()


def test_for_programs(site: Site, sipmail: Sipmail, registrar: Registrar) -> None:
    site(None, **at(registrar, password="wrong"))
    result = sipmail("check", "--online", "--json")
    assert result.status == 1
    found = json.loads(result.out)
    assert found["problems"] == []
    (refused,) = [step for step in found["steps"] if step["verdict"] == "failed"]
    assert refused["what"] == "trunk pbx"
    assert "401" in refused["text"]
    assert refused["cure"].startswith("check username, auth_username and password")


def test_a_wrong_configuration_is_not_tried(site: Site, sipmail: Sipmail) -> None:
    site()
    text = Path("sipmail.yaml").read_text()
    Path("sipmail.yaml").write_text(text.replace("language: en", "language: de"))
    result = sipmail("check", "--online")
    assert result.status == 2
    assert "language: " in result.out
    found = json.loads(sipmail("check", "--json").out)
    assert len(found["problems"]) == 1


def test_without_online_nothing_is_tried(site: Site, sipmail: Sipmail) -> None:
    site(None, **with_trunk("sip:127.0.0.1:9"))
    result = sipmail("check")
    assert result.status == 0
    assert len(result.out.splitlines()) == 1


def test_a_name_that_does_not_resolve_is_said_once(
    site: Site, sipmail: Sipmail, monkeypatch: pytest.MonkeyPatch
) -> None:
    site(None, **with_trunk("sip:pbx.example.invalid"))
    result = sipmail("check", "--online")
    assert result.status == 1
    assert result.out.count("✗") == 1
    assert "the name pbx.example.invalid cannot be resolved" in result.out
    assert "/etc/resolv.conf" in result.out


# Registrars


def test_a_registration_is_taken_back(site: Site, registrar: Registrar) -> None:
    step = only(reach.registrations(site(None, **at(registrar))))
    assert step.verdict is RIGHT
    assert step.text == f"200 registered at udp 127.0.0.1:{registrar.port} for 60 s, and left"
    on, off = registrar.registrations
    assert (on.contact, off.expires) == (off.contact, 0)
    assert on.expires == 60


def test_each_check_has_a_contact_of_its_own(site: Site, registrar: Registrar) -> None:
    """Another registration of the account (that of the running agent) is never named."""
    config = site(None, **at(registrar))
    for _ in range(2):
        only(reach.registrations(config))
    contacts = {registration.contact for registration in registrar.registrations}
    assert len(contacts) == 2
    assert all("*" not in request.get("Contact") for request in registrar.requests)


def test_calls_are_sent_on_meanwhile(site: Site, registrar: Registrar) -> None:
    answers: list[str] = []

    def call_back(request: object) -> int | None:
        """Right after the registration an INVITE comes to its Contact."""
        contact = registrar.registrations[-1].contact if registrar.registrations else ""
        if contact and not answers:
            host, port = contact.partition("@")[2].partition(";")[0].rsplit(":", 1)
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
                caller.bind(("127.0.0.1", 0))
                caller.settimeout(5)
                me = f"127.0.0.1:{caller.getsockname()[1]}"
                caller.sendto(
                    f"INVITE {contact} SIP/2.0\r\nVia: SIP/2.0/UDP {me};branch=z9hG4bKx\r\n"
                    f"From: <sip:a@{me}>;tag=1\r\nTo: <{contact}>\r\nCall-ID: x\r\n"
                    f"CSeq: 1 INVITE\r\nMax-Forwards: 70\r\nContact: <sip:a@{me}>\r\n"
                    "Content-Length: 0\r\n\r\n".encode(),
                    (host, int(port)),
                )
                while not answers or answers[-1] == "100":
                    answers.append(caller.recv(4096).split(b" ")[1].decode())
        return None

    registrar.intercept = call_back
    assert only(reach.registrations(site(None, **at(registrar)))).verdict is RIGHT
    assert answers[-1] == "480"


@pytest.mark.parametrize(
    ("status", "cure"),
    [
        (403, "check username, auth_username and password; some registrars also say 403"),
        (404, "the registrar knows no such account: check username"),
        (500, "ask the administrator of sip:127.0.0.1"),
    ],
)
def test_a_refused_registration(site: Site, registrar: Registrar, status: int, cure: str) -> None:
    registrar.intercept = lambda request: status
    step = only(reach.registrations(site(None, **at(registrar))))
    assert step.verdict is FAILED
    assert f"says {status}" in step.text
    assert step.cure.startswith(cure)


def test_a_registrar_that_is_silent(
    site: Site, registrar: Registrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reach, "_ANSWER_SECONDS", 0.0)
    monkeypatch.setattr(reach, "_LEAVE_SECONDS", 0.0)
    step = only(reach.registrations(site(None, **with_trunk("sip:127.0.0.1:9;transport=tcp"))))
    assert step.verdict is FAILED
    assert "firewall" in step.cure


def test_a_trunk_that_does_not_register(site: Site) -> None:
    step = only(reach.registrations(site()))
    assert step == Step("trunk local", RIGHT, "takes calls from 127.0.0.1/32, nothing to register")


def test_what_names_lead_to(site: Site, smtp_server: SmtpServer) -> None:
    smtp_server.host = "localhost"
    steps = list(reach.names(site(smtp_server, **with_trunk("sip:127.0.0.1;transport=tcp"))))
    assert steps[0].text == "127.0.0.1: tcp 127.0.0.1:5060"
    assert steps[1].text.startswith("localhost: ")
    unknown = reach.name_of_mail_server("mail.example.invalid")
    assert unknown.verdict is FAILED


# The mail server


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_logins(site: Site) -> None:
    server = SmtpServer(username="me", password="pw").start()
    try:
        login = {"mail": {"smtp": {"username": "me", "password": "pw"}}}
        step = only(reach.mail(site(server, **login)))
        assert step.verdict is RIGHT
        assert step.text.endswith("(none): connected, logged in as me")
        login["mail"]["smtp"]["password"] = "wrong"
        step = only(reach.mail(site(server, **login)))
        assert step.verdict is FAILED
        assert "535" in step.text
        assert "check username and password in mail.smtp" in step.cure
    finally:
        server.stop()


def test_a_server_without_starttls(site: Site, smtp_server: SmtpServer) -> None:
    config = site(smtp_server, mail={"smtp": {"security": "starttls"}})
    step = only(reach.mail(config))
    assert step.verdict is FAILED
    assert "does not offer STARTTLS" in step.text
    assert "check mail.smtp.security" in step.cure


def test_a_server_that_is_away(site: Site, smtp_server: SmtpServer) -> None:
    config = site(smtp_server)
    smtp_server.go()
    step = only(reach.mail(config))
    assert "Connection refused" in step.text
    assert "firewall" in step.cure


def test_a_maildir(site: Site, tmp_path: Path) -> None:
    step = only(reach.mail(site()))
    assert step.text == f"e-mails go into the Maildir {tmp_path / 'mail'}, it will be made"


# The machine


def test_a_spool_of_ours(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    config = site()
    assert only(machine.spool(config)).text == f"{config.spool} will be made"
    spool = Spool(config.spool)
    spool.open()
    spool.close()
    monkeypatch.setattr(machine, "_filesystem", lambda path: "ext4")
    assert only(machine.spool(config)).verdict is RIGHT
    monkeypatch.setattr(machine, "_filesystem", lambda path: "tmpfs")
    assert "gone after a restart" in only(machine.spool(config)).cure
    config.spool.chmod(0o755)
    step = only(machine.spool(config))
    assert step.verdict is NOTE
    assert step.cure == f"chmod 700 {config.spool}"
    assert {path.name for path in config.spool.iterdir()} == {
        *("recording", "queue", "done", "failed", "lock")
    }


def test_a_spool_that_is_a_file(site: Site) -> None:
    config = site()
    config.spool.write_text("")
    assert only(machine.spool(config)).verdict is FAILED


def test_a_spool_that_refuses(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    config = site()
    config.spool.mkdir()

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(machine, "TemporaryFile", refuse)
    step = only(machine.spool(config))
    assert step.verdict is FAILED
    assert "Permission denied" in step.text
    assert "chown" in step.cure


def test_a_full_disk(site: Site) -> None:
    assert only(machine.disk(site())).verdict is RIGHT
    step = only(machine.disk(site(limits={"free_disk": "900000T"})))
    assert step.verdict is FAILED
    assert "calls are refused" in step.text


def test_too_few_open_files(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert only(machine.open_files(site())).verdict is RIGHT
    monkeypatch.setattr(machine, "calls_possible", lambda: (170, 14))
    step = only(machine.open_files(site()))
    assert step.verdict is FAILED
    assert "170 open files are allowed, limits.calls is 20: enough for 14 calls" in step.text


def test_an_address_in_use(site: Site) -> None:
    config = site()
    listen = config.sip.listen[0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((listen.host, listen.port))
        step = only(machine.sip_addresses(config, running=False))
        assert step.verdict is FAILED
        assert "`ss -lnup`" in step.cure
        step = only(machine.sip_addresses(config, running=True))
        assert step.verdict is RIGHT
    assert only(machine.sip_addresses(config, running=False)).text.endswith("is free")


def test_an_address_of_another_machine(site: Site) -> None:
    step = only(
        machine.sip_addresses(site(sip={"listen": ["tcp://192.0.2.1:5060"]}), running=False)
    )
    assert step.verdict is FAILED
    assert "this machine has no such address" in step.cure


def rtp(config: Config) -> Step:
    return only(machine.rtp_ports(config, running=False))


def test_rtp_ports(site: Site) -> None:
    first, last = free_range(50)
    config = site(limits={"calls": 25}, rtp={"ports": f"{first}-{last}"})
    assert rtp(config).verdict is RIGHT
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("0.0.0.0", first + 1))
        step = rtp(config)
        assert step.verdict is FAILED
        assert "too few for limits.calls: 25" in step.text
        assert f"see who has {first} with" in step.cure
        enough = config.model_copy(
            update={"limits": config.limits.model_copy(update={"calls": 24})}
        )
        assert rtp(enough).verdict is NOTE
        assert only(machine.rtp_ports(config, running=True)).verdict is RIGHT


def test_greetings(site: Site) -> None:
    assert only(machine.greetings(site())).verdict is RIGHT
    Path("ours.wav").write_text("no sound")
    config = site(mailboxes={"sales": {"greeting": "ours.wav"}})
    step = only(machine.greetings(config))
    assert step.verdict is FAILED
    assert "ours.wav: is no sound file" in step.text


def test_certificates(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 11, 23, tzinfo=UTC)
    config = site()
    assert list(machine.certificates(config, now)) == []
    Path("chain.pem").touch()
    Path("key.pem").touch()
    listen = {"url": "tls://127.0.0.1:0", "certificate": "chain.pem", "private_key": "key.pem"}
    config = site(sip={"listen": [listen]})
    step = only(machine.certificates(config, now))
    assert step.verdict is FAILED
    assert "chain.pem cannot be used" in step.text
    monkeypatch.setattr(machine, "listeners", lambda config: None)
    for days, verdict in ((-1, FAILED), (13, NOTE), (15, RIGHT)):
        ends = now + timedelta(days=days)
        monkeypatch.setattr(machine, "expiry", lambda path, ends=ends: ends)
        assert only(machine.certificates(config, now)).verdict is verdict


def test_whether_an_agent_runs(site: Site) -> None:
    config = site()
    assert not machine.is_running(config.spool)
