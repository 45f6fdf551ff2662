"""What is in a wheel, in an sdist, and in what `pip install .` leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path, PurePosixPath

import pytest

from tests.packaging.conftest import ROOT, build, copy_source

_KEPT = {".py", ".wav", ".txt", ".j2", ".html", ".typed"}


def expected() -> set[str]:
    """Every file of the package in the work tree, as names in an archive."""
    return {
        str(PurePosixPath("sipmail", *path.relative_to(ROOT / "sipmail").parts))
        for top in (ROOT / "sipmail").iterdir()
        for path in ([top] if top.is_file() else top.rglob("*"))
        if path.suffix in _KEPT and path.is_file()
    }


def in_wheel(path: Path) -> set[str]:
    with zipfile.ZipFile(path) as archive:
        return {name for name in archive.namelist() if name.startswith("sipmail/")}


def test_the_wheel_is_the_package(wheel: Path) -> None:
    assert in_wheel(wheel) == expected()


@pytest.mark.parametrize(
    "pattern",
    [
        "sipmail/py.typed",
        "sipmail/codecs/g711.py",
        "sipmail/greetings/beep.wav",
        "sipmail/greetings/en/*.wav",
        "sipmail/greetings/en/*.txt",
        "sipmail/greetings/pl/*.wav",
        "sipmail/mail/templates/*.j2",
    ],
)
def test_the_wheel_has(wheel: Path, pattern: str) -> None:
    assert any(PurePosixPath(name).match(pattern) for name in in_wheel(wheel))


def test_the_wheel_brings_no_other_top_level(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"sipmail"}


def test_the_sdist_builds_the_same_wheel(wheel: Path, sdist: Path, tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        # Python before 3.11.4 (Debian 12 has 3.11.2) knows no filters, 3.13 wants one.
        if hasattr(tarfile, "data_filter"):
            archive.extraction_filter = tarfile.data_filter
        archive.extractall(tmp_path)
    (tree,) = tmp_path.iterdir()
    built = build(tree, "wheel", tmp_path / "out")
    assert built.returncode == 0, built.stderr
    (again,) = (tmp_path / "out").glob("*.whl")
    assert in_wheel(again) == in_wheel(wheel)


def test_every_requirement_has_a_lowest_version(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    required = [r for r in metadata.get_all("Requires-Dist", []) if "extra ==" not in r]
    assert required
    assert [r for r in required if ">=" not in r.split(";")[0]] == []


@pytest.mark.timeout(240)
def test_pip_install_gives_a_working_sipmail(tmp_path: Path) -> None:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(tmp_path / "site")]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    tree = copy_source(tmp_path / "tree")
    installed = subprocess.run(
        [*pip, *options, str(tree)],
        capture_output=True,
        text=True,
        env=environment,
        timeout=180,
        check=False,
    )
    assert installed.returncode == 0, installed.stderr
    ran = subprocess.run(
        [sys.executable, "-m", "sipmail", "--help"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(tmp_path / "site"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    for command in ("run", "check", "demo", "call", "queue"):
        assert command in ran.stdout
    where = subprocess.run(
        [sys.executable, "-c", "from sipmail.codecs import g711; print(g711.__file__)"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(tmp_path / "site")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert Path(where.stdout.strip()).is_relative_to(tmp_path / "site")
