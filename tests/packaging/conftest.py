"""A copy of the source tree as git sees it, to build from: links stay links."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
_PARTS = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "sipmail", "codecs", "greetings")


def copy_source(target: Path) -> Path:
    """The parts of the tree that a build reads, in the new folder `target`."""
    target.mkdir()
    for name in _PARTS:
        source = ROOT / name
        if source.is_dir():
            ignore = shutil.ignore_patterns("__pycache__")
            shutil.copytree(source, target / name, symlinks=True, ignore=ignore)
        else:
            shutil.copy2(source, target / name)
    return target


def build(tree: Path, kind: str, out: Path) -> subprocess.CompletedProcess[str]:
    """Runs the build backend's `build_wheel` or `build_sdist`, without isolation or network."""
    out.mkdir(exist_ok=True)
    code = f"from setuptools import build_meta as b; print(b.build_{kind}({str(out)!r}))"
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=tree,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from the tree."""
    folder = tmp_path_factory.mktemp("wheel")
    built = build(copy_source(folder / "tree"), "wheel", folder / "out")
    assert built.returncode == 0, built.stderr
    (path,) = (folder / "out").glob("*.whl")
    return path


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source archive built from the tree."""
    folder = tmp_path_factory.mktemp("sdist")
    built = build(copy_source(folder / "tree"), "sdist", folder / "out")
    assert built.returncode == 0, built.stderr
    (path,) = (folder / "out").glob("*.tar.gz")
    return path
