"""The keys of TLS and SRTP: what they become, and what is said about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sipmail.agent.settings import sip_trunks, trust
from sipmail.config.loader import load
from sipmail.config.model import Config
from sipmail.errors import ConfigError, SipmailError
from tests.net.certificates import Authority
from tests.support.agent import configuration

PBX = {"registrar": "sip:pbx.example.com;transport=tls", "username": "200", "password": "x"}


def loaded(folder: Path, **sip: Any) -> Config:
    file = folder / "sipmail.yaml"
    file.write_text(yaml.safe_dump(configuration(folder, sip=sip)))
    return load(file)


def test_defaults(tmp_path: Path) -> None:
    config = loaded(tmp_path, trunks={"pbx": PBX})
    trunk = config.sip.trunks["pbx"]
    assert (trunk.verify, trunk.srtp, config.sip.ca_file) == (True, "auto", None)
    assert config.warnings == ()


def test_a_trunk_that_is_not_verified_is_warned_of(tmp_path: Path) -> None:
    config = loaded(tmp_path, trunks={"pbx": {**PBX, "verify": False}})
    assert [str(one).partition(": ")[2] for one in config.warnings] == [
        "sip.trunks.pbx.verify: anybody can pretend to be this registrar: better name its CA in "
        "sip.ca_file"
    ]
    contexts = trust(config)
    assert contexts["pbx"].check_hostname is False
    assert list(contexts) == ["pbx"]  # for the others the system's CAs decide


@pytest.mark.parametrize("wish", ["auto", "optional", "required", "off"])
def test_srtp_reaches_the_endpoint(tmp_path: Path, wish: str) -> None:
    config = loaded(tmp_path, trunks={"pbx": {**PBX, "srtp": wish}})
    assert {one.name: one.srtp for one in sip_trunks(config, b"secret")} == {
        "local": "auto",
        "pbx": wish,
    }


@pytest.mark.parametrize("wish", [["MD5"], ["SHA-512-256", "SHA-256"]])
def test_digest_reaches_the_endpoint(tmp_path: Path, wish: list[str]) -> None:
    config = loaded(tmp_path, trunks={"pbx": {**PBX, "digest": wish}})
    assert {one.name: one.digest for one in sip_trunks(config, b"secret")} == {
        "local": ("MD5", "SHA-256"),
        "pbx": tuple(wish),
    }


@pytest.mark.parametrize("wish", [[], ["SHA1"], ["MD5", "MD5"]])
def test_a_wrong_digest_is_named(tmp_path: Path, wish: list[str]) -> None:
    with pytest.raises(ConfigError, match="digest"):
        loaded(tmp_path, trunks={"pbx": {**PBX, "digest": wish}})


def test_a_wrong_srtp_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="srtp"):
        loaded(tmp_path, trunks={"pbx": {**PBX, "srtp": "always"}})


def test_an_own_ca(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    config = loaded(tmp_path, ca_file="ca/ca.pem")
    assert config.sip.ca_file == authority.file
    names = [
        dict(part[0] for part in ca["subject"]) for ca in trust(config)["local"].get_ca_certs()
    ]
    assert names == [{"commonName": "Test CA"}]
    authority.file.write_text("no certificate")
    with pytest.raises(SipmailError, match="cannot be used"):
        trust(config)
