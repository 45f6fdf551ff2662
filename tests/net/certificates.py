"""Certificates for tests: a CA of our own and what it signs, made by openssl in milliseconds."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """A PEM certificate and its key."""

    certificate: Path
    key: Path


class Authority:
    """A CA in a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.file = folder / "ca.pem"
        self._key = folder / "ca.key"
        _openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-nodes", "-keyout", self._key, "-out", self.file, "-subj", "/CN=Test CA"),
            *("-days", "30", "-addext", "keyUsage=critical,keyCertSign"),
        )

    def issue(self, *names: str, days: int = 30, file: str = "server") -> Certificate:
        """A certificate for host names and addresses; `days` below 0: it has expired."""
        made = Certificate(self._folder / f"{file}.pem", self._folder / f"{file}.key")
        request = self._folder / f"{file}.csr"
        numeric = [name.replace(".", "").isdigit() or ":" in name for name in names]
        listed = ",".join(
            f"{'IP' if number else 'DNS'}:{name}"
            for name, number in zip(names, numeric, strict=True)
        )
        _openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", made.key, "-out", request, "-subj", f"/CN={names[0]}"),
            *("-addext", f"subjectAltName={listed}"),
        )
        span = ["-days", str(days)] if days >= 0 else ["-not_before", "20200101000000Z"]
        if days < 0:
            span += ["-not_after", "20200201000000Z"]
            _sign_in_the_past(self._folder, self.file, self._key, request, made.certificate)
        else:
            _openssl(
                *("x509", "-req", "-in", request, "-CA", self.file, "-CAkey", self._key),
                *("-CAcreateserial", "-copy_extensions", "copy", "-out", made.certificate, *span),
            )
        return made


def _sign_in_the_past(folder: Path, ca: Path, key: Path, request: Path, out: Path) -> None:
    database = folder / "index.txt"
    database.touch()
    settings = folder / "ca.cnf"
    settings.write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={database}\nnew_certs_dir={folder}\nserial="
        f"{folder / 'past.srl'}\ndefault_md=sha256\npolicy=p\ncopy_extensions=copy\n"
        "unique_subject=no\n[p]\ncommonName=supplied\n"
    )
    _openssl(
        *("ca", "-batch", "-config", settings, "-cert", ca, "-keyfile", key, "-in", request),
        *("-out", out, "-notext", "-create_serial", "-rand_serial"),
        *("-startdate", "20200101000000Z", "-enddate", "20200201000000Z"),
    )


def _openssl(*arguments: str | Path) -> None:
    ran = subprocess.run(
        ["openssl", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        stdin=subprocess.DEVNULL,
    )
    assert ran.returncode == 0, ran.stderr
