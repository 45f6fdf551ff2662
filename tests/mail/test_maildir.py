"""Delivery to a Maildir."""

from __future__ import annotations

from pathlib import Path

import pytest

from sipmail.mail.deliver import delivery_for
from sipmail.mail.maildir import MaildirDelivery
from sipmail.mail.smtp import SmtpDelivery
from tests.mail.sending import ANNA, DATA, JAN, envelope, settings
from tests.support.smtp import SmtpServer


def test_a_maildir_gets_one_file_however_often(tmp_path: Path) -> None:
    delivery = MaildirDelivery(tmp_path / "mail")
    outcomes = delivery.send(envelope(ANNA, JAN))
    assert all(one.ok for one in outcomes.values())
    assert set(outcomes) == {ANNA, JAN}
    (path,) = (tmp_path / "mail" / "new").iterdir()
    assert path.read_bytes() == DATA.replace(b"\r\n", b"\n")
    assert path.stat().st_mode & 0o777 == 0o600
    delivery.send(envelope(ANNA, JAN))
    assert list((tmp_path / "mail" / "new").iterdir()) == [path]
    read = path.rename(tmp_path / "mail" / "cur" / f"{path.name}:2,S")
    assert delivery.send(envelope(ANNA))[ANNA].answer.endswith(read.name)
    assert list((tmp_path / "mail" / "new").iterdir()) == []
    assert list((tmp_path / "mail" / "tmp").iterdir()) == []


def test_the_standard_library_reads_the_maildir(tmp_path: Path) -> None:
    import mailbox

    MaildirDelivery(tmp_path / "mail").send(envelope(ANNA))
    box = mailbox.Maildir(tmp_path / "mail", create=False)
    (message,) = box
    assert message["Subject"] == "x"


def test_a_maildir_that_cannot_be_written_is_temporary(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file")
    outcome = MaildirDelivery(tmp_path / "mail").send(envelope(ANNA))[ANNA]
    assert (outcome.ok, outcome.temporary, outcome.server) == (False, True, True)


def test_smtp_goes_before_the_maildir(tmp_path: Path, smtp_server: SmtpServer) -> None:
    from sipmail.config.model import Mail
    from sipmail.errors import DeliveryError

    both = Mail.model_construct(smtp=settings(smtp_server), maildir=tmp_path)
    assert isinstance(delivery_for(both), SmtpDelivery)
    assert isinstance(
        delivery_for(Mail.model_construct(smtp=None, maildir=tmp_path)), MaildirDelivery
    )
    with pytest.raises(DeliveryError):
        delivery_for(Mail.model_construct(smtp=None, maildir=None))
