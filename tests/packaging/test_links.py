"""The two links of the package are links, lead where they should, and are missed at build time."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.packaging.conftest import ROOT, build, copy_source

LINKS = ("codecs", "greetings")


@pytest.mark.parametrize("name", LINKS)
def test_the_room_is_a_link_to_the_top_level(name: str) -> None:
    link = ROOT / "sipmail" / name
    assert link.is_symlink()
    assert str(link.readlink()) == f"../{name}"
    assert link.resolve() == ROOT / name


@pytest.mark.parametrize("name", LINKS)
def test_git_keeps_it_as_a_link(name: str) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "--stage", "--", f"sipmail/{name}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    assert listed.stdout.startswith("120000 "), listed.stdout


@pytest.mark.parametrize("name", LINKS)
def test_no_package_shadows_pythons_own(name: str) -> None:
    assert not (ROOT / name / "__init__.py").exists()


@pytest.mark.parametrize("name", LINKS)
@pytest.mark.parametrize("damage", ["a text file in its place", "nothing in its place"])
@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_a_tree_without_the_link_is_refused(
    tmp_path: Path, name: str, damage: str, kind: str
) -> None:
    tree = copy_source(tmp_path / "tree")
    link = tree / "sipmail" / name
    link.unlink()
    if damage == "a text file in its place":
        link.write_text(f"../{name}")
    built = build(tree, kind, tmp_path / "out")
    assert built.returncode != 0
    assert f"sipmail/{name} is not the symbolic link to ../{name}" in built.stderr
    assert "Traceback" not in built.stderr
