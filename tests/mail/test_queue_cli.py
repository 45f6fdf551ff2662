"""`sipmail queue` and `sipmail test-mail`, with and without a running agent."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from sipmail.cli import queue
from sipmail.cli.test_mail import test_mail as send_test_mail
from sipmail.config.model import Config
from sipmail.mail import attempt
from sipmail.mail.deliver import Outcome
from sipmail.spool.control import ControlServer
from sipmail.spool.message import Message, RecipientState
from sipmail.spool.spool import Spool, State
from tests.mail.calls import leave
from tests.mail.conftest import ANNA, JAN, OFFICE, MakeConfig
from tests.support.smtp import SmtpServer

app = typer.Typer()
app.add_typer(queue.app, name="queue")
app.command("test-mail")(send_test_mail)


@pytest.fixture
def config(make_config: MakeConfig) -> Config:
    """A configuration whose spool nobody owns."""
    return make_config()


@pytest.fixture
def filled(config: Config) -> tuple[Message, Message]:
    """One message that waits after a refusal, and one that failed."""
    spool = Spool(config.spool)
    spool.open()
    made = []
    for outcome in (Outcome(False, True, "451 [later]"), Outcome(False, False, "550 never")):
        message = leave(spool, None)
        wanted = replace(message.delivery, recipients=dict.fromkeys((ANNA, JAN), RecipientState()))
        message = attempt.after_attempt(
            replace(message, delivery=wanted),
            {ANNA: Outcome(True, False, "250 ok"), JAN: outcome},
            datetime.now(UTC),
        )
        spool.update(message, State.QUEUE)
        made.append(message)
    spool.move(made[1].id, State.QUEUE, State.FAILED)
    spool.close()
    return made[0], made[1]


def sipmail(config: Config, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "-c", str(config.path)])


def test_an_empty_queue(config: Config) -> None:
    for command in (["queue"], ["queue", "list"]):
        result = sipmail(config, *command)
        assert (result.exit_code, result.stdout) == (0, "nothing waits, and nothing failed\n")
    assert json.loads(sipmail(config, "queue", "list", "--json").stdout) == []


def test_the_list_says_what_waits_and_why(config: Config, filled: tuple[Message, Message]) -> None:
    waiting, failed = filled
    result = sipmail(config, "queue", "list")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[1].startswith(waiting.id)
    for text in ("queue", "sales", f"{ANNA} (delivered)", "451 [later]", " 1 "):
        assert text in lines[1], text
    assert JAN in lines[2]
    assert any(failed.id in line and "failed" in line and "550 never" in line for line in lines)


def test_the_list_for_programs(config: Config, filled: tuple[Message, Message]) -> None:
    waiting, failed = filled
    first, second = json.loads(sipmail(config, "queue", "list", "--json").stdout)
    assert (first["id"], first["state"], second["state"]) == (waiting.id, "queue", "failed")
    assert first["recipients"][JAN] == {"state": "waiting", "answer": "451 [later]"}
    assert first["attempts"] == 1
    assert first["next_attempt"].startswith("20")
    assert 0 <= first["age"] < 60
    assert second["id"] == failed.id


def test_show(config: Config, filled: tuple[Message, Message]) -> None:
    waiting, _ = filled
    text = sipmail(config, "queue", "show", waiting.id).stdout
    for part in ("Jan Kowalski +48600123456", "sales", "a@b", f"{JAN} waiting", "message.json"):
        assert part in text, part
    facts = json.loads(sipmail(config, "queue", "show", waiting.id, "--json").stdout)
    assert facts["state"] == "queue"
    assert facts["mailbox"] == "sales"
    assert Path(facts["folder"]).is_dir()


def test_a_callers_name_does_nothing_to_the_terminal(config: Config) -> None:
    spool = Spool(config.spool)
    spool.open()
    message = leave(spool, None, notes=("\x1b]0;owned\x07[red]",), mailbox="\x1b[2J")
    spool.close()
    for command in (["show", message.id], ["list"]):
        result = sipmail(config, "queue", *command)
        assert result.exit_code == 0
        assert "\x1b" not in result.stdout
    assert "[red]" in sipmail(config, "queue", "show", message.id).stdout


def test_without_an_agent_the_command_changes_the_spool_itself(
    config: Config, filled: tuple[Message, Message]
) -> None:
    waiting, failed = filled
    spool = Spool(config.spool)
    result = sipmail(config, "queue", "retry", "all")
    assert result.stdout == "1 message will be tried when sipmail runs again\n"
    again = spool.load(State.QUEUE, waiting.id).delivery
    assert (again.attempts, again.waiting(), again.delivered()) == (0, (JAN,), (ANNA,))
    assert again.next_attempt is not None
    assert again.next_attempt <= datetime.now(UTC)
    result = sipmail(config, "queue", "retry", failed.id, "--json")
    assert json.loads(result.stdout) == {"count": 1, "running": False}
    assert spool.load(State.QUEUE, failed.id).delivery.waiting() == (JAN,)
    assert sipmail(config, "queue", "drop", failed.id).stdout == "1 message dropped\n"
    assert spool.load(State.DONE, failed.id).notes == ("dropped by the administrator",)


def test_with_an_agent_the_command_asks_it(config: Config, filled: tuple[Message, Message]) -> None:
    waiting, _ = filled
    asked: list[tuple[str, object]] = []
    owner = Spool(config.spool)
    owner.open()

    async def run() -> list[Result]:
        async def retry(arguments: Mapping[str, object]) -> object:
            asked.append(("retry", arguments["id"]))
            return 3

        async def drop(arguments: Mapping[str, object]) -> object:
            asked.append(("drop", arguments["id"]))
            return 1

        server = ControlServer(config.spool, {"queue.retry": retry, "queue.drop": drop})
        await server.start()
        results = [
            await asyncio.to_thread(sipmail, config, "queue", *command)
            for command in (["retry", "all"], ["drop", waiting.id])
        ]
        await server.stop()
        return results

    retried, dropped = asyncio.run(run())
    owner.close()
    assert retried.stdout == "3 messages will be tried now\n"
    assert dropped.stdout == "1 message dropped\n"
    assert asked == [("retry", "all"), ("drop", waiting.id)]


def test_an_owner_without_a_socket_is_not_disturbed(
    config: Config, filled: tuple[Message, Message]
) -> None:
    owner = Spool(config.spool)
    owner.open()
    result = sipmail(config, "queue", "retry", "all")
    owner.close()
    assert result.exit_code == 1
    assert f"process {os.getpid()}" in str(result.exception)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["queue", "show", "nothing"], 1),
        (["queue", "drop", "../../x"], 1),
        (["queue", "retry", "nothing"], 1),
        (["queue", "fly"], 2),
        (["queue", "drop"], 2),
    ],
)
def test_wrong_use(config: Config, filled: object, arguments: list[str], code: int) -> None:
    assert sipmail(config, *arguments).exit_code == code


def test_a_spool_is_adopted(
    config: Config, filled: tuple[Message, Message], tmp_path: Path
) -> None:
    before = Path(config.spool).rename(tmp_path / "dead")
    result = sipmail(config, "queue", "adopt", str(before))
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        "1 message will be delivered when sipmail runs again\n"
        "1 message came too, delivered or failed before\n"
    )
    spool = Spool(config.spool)
    assert (spool.ids(State.QUEUE), spool.ids(State.FAILED)) == ([filled[0].id], [filled[1].id])
    again = sipmail(config, "queue", "adopt", str(before), "--json")
    assert json.loads(again.stdout)["queue"] == 0
    nowhere = sipmail(config, "queue", "adopt", str(tmp_path / "nowhere"))
    assert (nowhere.exit_code, "is no spool" in str(nowhere.exception)) == (1, True)


# --- test-mail --------------------------------------------------------------------------------


def test_a_sample_is_sent_and_the_answers_are_said(
    make_config: MakeConfig, smtp_server: SmtpServer
) -> None:
    config = make_config(smtp_server)
    result = sipmail(config, "test-mail", "sales")
    assert result.exit_code == 0, result.output
    for address in (ANNA, JAN, OFFICE):
        assert f"{address}: accepted: 250 OK" in result.stdout
    assert f"127.0.0.1:{smtp_server.port}" in result.stdout
    (delivered,) = smtp_server.delivered
    assert "sipmail test-mail" in delivered.message["Subject"]
    name, sound = delivered.attachment()
    assert name.endswith(".wav")
    assert len(sound) > 16000
    assert not config.spool.exists()


def test_a_refusal_is_said_exactly(make_config: MakeConfig, smtp_server: SmtpServer) -> None:
    smtp_server.on_recipient = lambda one: "550 5.1.1 nobody" if one == JAN else "250 OK"
    result = sipmail(make_config(smtp_server), "test-mail", "sales")
    assert result.exit_code == 1
    assert f"{JAN}: refused: 550 5.1.1 nobody" in result.output
    assert f"{ANNA}: accepted" in result.output


def test_an_unknown_mailbox_is_wrong_use(config: Config) -> None:
    result = sipmail(config, "test-mail", "sails")
    assert result.exit_code == 2
    assert "there is no mailbox 'sails': there are sales" in result.output
