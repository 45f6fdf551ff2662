"""Who this sipmail is towards its registrars, over restarts.

The Contact of a registration has a user that nobody can guess (a call to it is a call for that
trunk). It is made from a secret that lies in the spool, so that after a crash the same binding is
registered again, instead of a second one beside the dead: the PBX would ring both.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from sipmail.errors import SpoolError

_FILE = "identity"
_BYTES = 32
_USER_LETTERS = 20


def load_secret(spool: Path) -> bytes:
    """The secret of this spool, made at its first use. Raises SpoolError. Blocks."""
    path = spool / _FILE
    try:
        if path.exists() and len(secret := path.read_bytes()) == _BYTES:
            return secret
        secret = secrets.token_bytes(_BYTES)
        beside = spool / f"{_FILE}.tmp"
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        raise SpoolError(f"cannot keep {path}: {error}") from error
    return secret


def contact_user(secret: bytes, trunk: str, registrar: str, username: str) -> str:
    """The user of a trunk's Contact: the same for the same account, else unpredictable."""
    account = "\0".join((trunk, registrar, username)).encode()
    return hmac.new(secret, account, hashlib.sha256).hexdigest()[:_USER_LETTERS]
