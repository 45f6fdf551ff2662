"""The one thing that pyproject.toml cannot say: a source tree whose links are gone is refused.

`sipmail/codecs` and `sipmail/greetings` are symbolic links to the folders beside the package. An
archive made for a system without links, or a git checkout with `core.symlinks=false`, has small
text files in their place, of which setuptools would silently build a sipmail that cannot start.
"""

from __future__ import annotations

from pathlib import Path

from setuptools import setup

_ROOT = Path(__file__).resolve().parent
# What each link must lead to: seen through it, this file proves that the folder is whole.
_WITNESSES = {"codecs": "g711.py", "greetings": "beep.wav"}

for _name, _witness in _WITNESSES.items():
    if not (_ROOT / "sipmail" / _name / _witness).is_file():
        raise SystemExit(
            f"sipmail/{_name} is not the symbolic link to ../{_name} that it is in git, so the "
            f"package would be built without {_witness}. Clone the repository with git on a system "
            f"that has symbolic links (git config core.symlinks true), or install from the sdist."
        )

setup()
