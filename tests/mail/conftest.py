"""A configuration, a spool and messages for the tests of delivery."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from sipmail.config.loader import load
from sipmail.config.model import Config
from sipmail.mail.smtp import SmtpDelivery
from sipmail.spool.spool import Spool
from tests.mail.scripted import Script, Scripted
from tests.mail.sending import settings as smtp_settings
from tests.support.agent import configuration
from tests.support.smtp import SmtpServer

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)  # a Monday, 13:00 in Warsaw
ANNA, JAN, OFFICE = "anna@sipmail.test", "jan@sipmail.test", "office@sipmail.test"
ADMIN = "admin@sipmail.test"

MakeConfig = Callable[..., Config]


@pytest.fixture
def make_config(tmp_path: Path) -> MakeConfig:
    """`make_config(smtp, **sections)`: see `tests.support.agent.configuration`."""

    def make(smtp: SmtpServer | None = None, **sections: Any) -> Config:
        folder = tmp_path / "config"
        settings = configuration(folder, smtp, **sections)
        (folder / "sipmail.yaml").write_text(yaml.safe_dump(settings, allow_unicode=True))
        return load(folder / "sipmail.yaml")

    return make


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    """The spool of `make_config`, owned by the test."""
    spool = Spool(tmp_path / "config" / "spool")
    spool.open()
    yield spool
    spool.close()


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    """`scripted(*scripts)`: a server with a script for each connection."""
    servers: list[Scripted] = []

    def make(*scripts: Script) -> Scripted:
        servers.append(Scripted(*scripts))
        return servers[-1]

    yield make
    for server in servers:
        server.stop()


@pytest.fixture
def deliver() -> Iterator[Callable[..., SmtpDelivery]]:
    """`deliver(server, **settings)`: a delivery that is closed at the end."""
    made: list[SmtpDelivery] = []

    def make(server: SmtpServer | Scripted, **changes: object) -> SmtpDelivery:
        made.append(SmtpDelivery(smtp_settings(server, **changes)))
        return made[-1]

    yield make
    for one in made:
        one.close()
