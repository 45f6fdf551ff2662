"""The secret of a spool, and the Contact that comes of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from sipmail.agent.identity import contact_user, load_secret
from sipmail.errors import SpoolError


def test_the_secret_stays_and_nobody_else_may_read_it(tmp_path: Path) -> None:
    secret = load_secret(tmp_path)
    assert len(secret) == 32
    assert load_secret(tmp_path) == secret
    assert (tmp_path / "identity").stat().st_mode & 0o777 == 0o600


def test_a_torn_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "identity").write_bytes(b"half")
    assert load_secret(tmp_path) == load_secret(tmp_path) != b"half"


def test_a_spool_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SpoolError, match="cannot keep"):
        load_secret(tmp_path / "gone")


def test_an_account_keeps_its_contact_and_shares_it_with_no_other() -> None:
    accounts = [("pbx", "sip:a", "200"), ("pbx", "sip:a", "201"), ("two", "sip:a", "200")]
    users = [contact_user(b"s" * 32, *account) for account in accounts]
    assert users == [contact_user(b"s" * 32, *account) for account in accounts]
    assert len(set(users)) == 3
    assert contact_user(b"t" * 32, *accounts[0]) != users[0]
