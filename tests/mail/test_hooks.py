"""What a mailbox wants told after delivery: a signed POST, and a program."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from sipmail.config.model import Command, Webhook
from sipmail.mail.deliver import Envelope, Outcome, delivery_for
from sipmail.mail.hooks import COMMAND, WEBHOOK, Hook, hooks, run
from sipmail.mail.prepare import Prepared, Settled, prepare
from sipmail.mail.senders import hand_over
from sipmail.spool.message import Kind, Message
from sipmail.spool.spool import Spool, State
from tests.mail.calls import babble, leave, packets
from tests.mail.conftest import ANNA, NOON, MakeConfig
from tests.mail.courier import EVERYBODY, running, scenario, until
from tests.mail.post import MESSAGE, MP3, called_by, mailbox
from tests.support.smtp import SmtpServer

SECRET = "k3y"


class Listener:
    """Takes POSTs; `answers` are the statuses to be given first, then 204."""

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[int] = []
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                names = {name.lower(): value for name, value in self.headers.items()}
                listener.taken.append((names, body))
                status = listener.answers.pop(0) if listener.answers else 204
                self.send_response(status)
                if status == 307:
                    self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/voicemail"

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    yield made
    made.stop()


def tell(webhook: Webhook, message: Message = MESSAGE) -> Any:
    box = mailbox(webhook=webhook)
    (hook,) = hooks(message, box, MP3, None, (WEBHOOK,))
    return hook.tell(())


def test_a_signed_post(listener: Listener) -> None:
    before = int(time.time())
    assert tell(Webhook(url=listener.url, secret=SecretStr(SECRET))).ok
    ((headers, body),) = listener.taken
    assert headers["content-type"] == "application/json; charset=utf-8"
    assert headers["x-sipmail-id"] == MESSAGE.id
    timestamp = headers["x-sipmail-timestamp"]
    assert before <= int(timestamp) <= int(time.time())
    # As a receiver would check it.
    mark = hmac.new(SECRET.encode(), f"{timestamp}.".encode() + body, hashlib.sha256)
    assert headers["x-sipmail-signature"] == f"sha256={mark.hexdigest()}"
    known = json.loads(body)
    assert known["event"] == "message"
    assert known["caller"] == {
        "number": "+48600123456",
        "name": "Katarzyna Wiśniewska",
        "withheld": False,
    }
    assert (known["mailbox"], known["mailbox_name"]) == ("sales", "Poczta – sprzedaż")
    assert datetime.fromisoformat(known["received"]) == MESSAGE.received
    assert known["duration"] == 42.3
    assert known["recording"] == {"mime": "audio/mpeg", "extension": "mp3", "size": len(MP3.data)}


def test_without_a_secret_and_with_the_recording(listener: Listener) -> None:
    assert tell(Webhook(url=listener.url, recording=True)).ok
    ((headers, body),) = listener.taken
    assert "x-sipmail-signature" not in headers
    assert base64.b64decode(json.loads(body)["recording"]["data"]) == MP3.data


@pytest.mark.parametrize(
    ("status", "temporary"),
    [(500, True), (503, True), (429, True), (408, True), (400, False), (404, False), (307, False)],
)
def test_what_the_listener_says(listener: Listener, status: int, temporary: bool) -> None:
    listener.answers = [status]
    outcome = tell(Webhook(url=listener.url))
    assert (outcome.ok, outcome.temporary, outcome.server) == (False, temporary, False)
    assert outcome.answer.startswith(str(status))
    assert len(listener.taken) == 1


def test_nobody_listens(listener: Listener) -> None:
    url = listener.url
    listener._server.socket.close()
    outcome = tell(Webhook(url=url, timeout=1.0))
    assert (outcome.ok, outcome.temporary) == (False, True)


def test_a_withheld_caller_stays_withheld(listener: Listener) -> None:
    message = called_by(None)
    tell(Webhook(url=listener.url), message)
    assert json.loads(listener.taken[0][1])["caller"]["number"] is None


# --- commands ------------------------------------------------------------------------------------


def python(code: str, timeout: float = 20.0) -> Command:
    return Command(run=(sys.executable, "-c", code), timeout=timeout)


def test_a_program_reads_json(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    code = f"import shutil, sys; shutil.copyfileobj(sys.stdin.buffer, open({str(copy)!r}, 'wb'))"
    box = mailbox(command=python(code))
    (hook,) = hooks(MESSAGE, box, MP3, tmp_path / "message.mp3", (COMMAND,))
    assert hook.tell(()).ok
    known = json.loads(copy.read_bytes())
    assert known["id"] == MESSAGE.id
    assert known["recording"]["path"] == str(tmp_path / "message.mp3")


def test_nothing_that_callers_write_reaches_a_shell(tmp_path: Path) -> None:
    message = called_by("+48600123456", f"$(touch {tmp_path}/x); `touch {tmp_path}/x`")
    box = mailbox(command=Command(run=("/bin/cat",)))
    (hook,) = hooks(message, box, None, None, (COMMAND,))
    assert hook.tell(()).ok
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("code", "ok", "temporary", "answer"),
    [
        ("print('done')", True, True, "exit status 0: done"),
        ("raise SystemExit(1)", False, True, "exit status 1"),
        ("raise SystemExit('no ticket')", False, True, "exit status 1: no ticket"),
        ("raise SystemExit(75)", False, True, "exit status 75"),
        ("raise SystemExit(65)", False, False, "exit status 65"),
        ("import os; os.kill(os.getpid(), 9)", False, True, "exit status -9"),
        ("print('x' * 10**6)", True, True, "exit status 0: xxx"),
    ],
)
def test_what_a_program_says(code: str, ok: bool, temporary: bool, answer: str) -> None:
    outcome = run(python(code), b"{}\n")
    assert outcome.answer.startswith(answer)
    assert outcome.ok is ok
    assert ok or outcome.temporary is temporary


def test_a_program_that_never_ends_is_ended_with_its_children(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    code = (
        "import subprocess, time\n"
        f"child = subprocess.Popen(['sleep', '600'])\n"
        f"open({str(mark)!r}, 'w').write(str(child.pid)); time.sleep(600)"
    )
    began = time.monotonic()
    outcome = run(python(code, timeout=1.5), b"")
    assert time.monotonic() - began < 10
    assert (outcome.ok, outcome.temporary) == (False, True)
    assert outcome.answer == "took longer than 1.5 s"
    assert _ended(int(mark.read_text()))


def _ended(pid: int) -> bool:
    """Whether the process is gone, or only waits to be reaped."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":
            return True
        time.sleep(0.01)
    return False


def test_a_program_that_is_not_there() -> None:
    outcome = run(Command(run=("/nowhere/program",)), b"")
    assert (outcome.ok, outcome.temporary) == (False, True)
    assert outcome.answer.startswith("cannot be started: ")


# --- with the courier ----------------------------------------------------------------------------

SPOKEN = packets(babble(1.5))


def test_hooks_come_after_the_mail_and_are_retried_alone(
    make_config: MakeConfig, spool: Spool, listener: Listener, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    code = f"import os, sys, json; p = json.load(sys.stdin)['recording']['path']; " \
        f"open({str(seen)!r}, 'w').write(str(os.path.getsize(p)))"  # fmt: skip
    config = make_config(
        mailboxes={
            "sales": {
                "webhook": {"url": listener.url},
                "command": [sys.executable, "-c", code],
                "users": ["anna"],
                "emails": None,
            }
        }
    )
    delivery = delivery_for(config.mail)
    message = leave(spool, SPOKEN)
    listener.answers = [503]
    prepared = prepare(spool, message.id, config, NOON)
    assert isinstance(prepared, Prepared)
    assert [envelope.recipients for envelope in prepared.envelopes] == [(ANNA,)]
    first = hand_over(spool, prepared, delivery)
    assert first.place is None
    assert first.message.delivery.waiting() == (WEBHOOK,)
    assert first.message.delivery.delivered() == (ANNA, COMMAND)
    assert int(seen.read_text()) > 1000
    again = prepare(spool, message.id, config, NOON)
    assert isinstance(again, Prepared)
    assert again.envelopes == ()
    assert [hook.name for hook in again.hooks] == [WEBHOOK]
    second = hand_over(spool, again, delivery)
    assert isinstance(second.place, Settled)
    assert second.place.state is State.DONE
    bodies = [json.loads(body) for _, body in listener.taken]
    assert [body["id"] for body in bodies] == [message.id] * 2
    assert [body["delivered_to"] for body in bodies] == [[ANNA]] * 2
    mails = list((config.mail.maildir or tmp_path).glob("new/*"))
    assert len(mails) == 1
    assert b"webhook" not in mails[0].read_bytes().split(b"\r\n\r\n")[0]


def test_what_the_server_took_is_noted_before_a_hook_is_told(
    make_config: MakeConfig, spool: Spool
) -> None:
    """A hook may take minutes; who is ended meanwhile must not send the e-mail again. Nor must a
    fault in it make anybody wait."""
    config = make_config(mailboxes={"sales": {"webhook": {"url": "http://127.0.0.1:9/"}}})
    message = leave(spool, SPOKEN)
    prepared = prepare(spool, message.id, config, NOON)
    assert isinstance(prepared, Prepared)
    told: list[tuple[set[str], int]] = []

    def tell(now_delivered: tuple[str, ...]) -> Outcome:
        known = spool.load(State.QUEUE, message.id).delivery
        told.append((set(known.delivered()), known.attempts))
        if len(told) == 2:
            raise OSError("no space left on device")
        return Outcome(True, False, "204")

    hooks = (Hook(WEBHOOK, tell), Hook(COMMAND, tell))
    sent = hand_over(spool, replace(prepared, hooks=hooks), delivery_for(config.mail))
    assert told == [(EVERYBODY, 0), ({*EVERYBODY, WEBHOOK}, 0)]
    assert sent.place is None
    assert sent.message.delivery.waiting() == (COMMAND,)
    assert sent.message.delivery.attempts == 1
    assert set(sent.message.delivery.delivered()) == {*EVERYBODY, WEBHOOK}


def test_what_was_taken_is_noted_between_one_mail_and_the_next(
    make_config: MakeConfig, spool: Spool
) -> None:
    config = make_config(mailboxes={"sales": {"one_mail_each": True}})
    message = leave(spool, SPOKEN)
    prepared = prepare(spool, message.id, config, NOON)
    assert isinstance(prepared, Prepared)
    first, second, third = prepared.envelopes

    class Server:
        """Breaks at the second one."""

        def send(self, envelope: Envelope) -> dict[str, Outcome]:
            if envelope == second:
                known = spool.load(State.QUEUE, message.id).delivery
                assert known.delivered() == first.recipients
                raise RuntimeError("a fault of ours")
            return dict.fromkeys(envelope.recipients, Outcome(True, False, "250 ok"))

        def close(self) -> None:
            """Nothing is open."""

    sent = hand_over(spool, prepared, Server())
    assert sent.message.delivery.waiting() == second.recipients
    assert set(sent.message.delivery.delivered()) == {*first.recipients, *third.recipients}


def test_a_mailbox_may_have_hooks_alone(
    make_config: MakeConfig, spool: Spool, listener: Listener, smtp_server: SmtpServer
) -> None:
    async def work() -> None:
        async with running(config) as run:
            message = leave(spool, SPOKEN)
            run.courier.notify(message.id)
            await run.events.settled(message.id)

    config = make_config(
        smtp_server,
        mailboxes={"sales": {"webhook": {"url": listener.url}, "users": None, "emails": None}},
    )
    scenario(work())
    assert len(listener.taken) == 1
    assert smtp_server.delivered == []


# --- what else the courier does for a mailbox ----------------------------------------------------


def test_missed_calls_of_one_caller_become_one_mail(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    config = make_config(smtp_server, mailboxes={"sales": {"fold_missed_calls": "4s"}})

    async def work() -> None:
        async with running(config) as run:
            calls = [leave(spool, None, kind=Kind.MISSED) for _ in range(4)]
            for call in calls:
                run.courier.notify(call.id)
            await until(lambda: len(smtp_server.delivered) >= 2, "two e-mails")
            for call in calls:
                await run.events.settled(call.id)

    scenario(work())
    first, rest = (mail.message for mail in smtp_server.delivered)
    for mail, repeats in ((first, 0), (rest, 2)):
        part = mail.get_body(("plain",))
        assert part is not None
        text = part.get_content()
        line = [one for one in text.splitlines() if one.startswith("Also called")]
        assert len(line) == (1 if repeats else 0)
        assert "".join(line).count(";") == max(0, repeats - 1)
    notes = [message.notes for message in spool.list(State.DONE)]
    assert sum(any("mailed with" in note for note in one) for one in notes) == 2


def test_a_mail_for_each_recipient(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer
) -> None:
    config = make_config(smtp_server, mailboxes={"sales": {"one_mail_each": True}})

    async def work() -> None:
        async with running(config) as run:
            message = leave(spool, SPOKEN)
            run.courier.notify(message.id)
            await run.events.settled(message.id)

    scenario(work())
    mails = smtp_server.delivered
    assert len(mails) == 3
    for mail in mails:
        assert len(mail.recipients) == 1
        assert mail.recipients[0] in mail.message["To"]
        assert mail.message["To"].count("@") == 1
    assert len({mail.message["Message-ID"] for mail in mails}) == 3


def test_contacts_bounces_size_and_broken_templates(
    make_config: MakeConfig, spool: Spool, smtp_server: SmtpServer, tmp_path: Path
) -> None:
    (tmp_path / "config").mkdir(exist_ok=True)
    template = tmp_path / "config" / "mail.txt"
    template.write_text("{{ who }}")
    contacts = tmp_path / "config" / "contacts.csv"
    contacts.write_text("Anna z Biura,600123456\n")
    config = make_config(
        smtp_server,
        contacts="contacts.csv",
        mail={"envelope_from": "bounces@sipmail.test", "admin": "admin@sipmail.test"},
        mailboxes={"sales": {"body": "mail.txt", "attachment": "wav", "max_attachment": "20k"}},
    )
    template.write_text("{{ 1 / 0 }}")

    async def work() -> None:
        async with running(config) as run:
            for _ in range(2):
                message = leave(spool, SPOKEN)
                run.courier.notify(message.id)
                await run.events.settled(message.id)
            await until(lambda: len(smtp_server.delivered) >= 3, "the notice")

    scenario(work())
    notices = smtp_server.to("admin@sipmail.test")
    assert len(notices) == 1
    assert "division by zero" in notices[0].message.get_content()
    mail = smtp_server.to(ANNA)[0]
    assert mail.sender == "bounces@sipmail.test"
    assert str(mail.message["Subject"]).startswith("Anna z Biura, +48600123456 · Sales")
    name, data = mail.attachment()
    assert name.endswith((".mp3", ".opus"))
    assert len(data) < 20 * 1024
    part = mail.message.get_body(("plain",))
    assert part is not None
    assert "attached in a smaller format" in part.get_content()
    assert spool.list(State.DONE)[0].caller.name == "Jan Kowalski"  # what the network said
