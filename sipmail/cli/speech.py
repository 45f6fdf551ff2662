"""Speech programs: what turns a text into a sound file on this machine."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

from sipmail.errors import SipmailError

_SYNTHESIZERS = (
    "espeak-ng -v {language} -s 150 -w {file} --stdin",
    "espeak -v {language} -s 150 -w {file} --stdin",
)
"""Commands that need nothing but to be installed: the first that is there is used."""


def installed() -> str:
    """The command of a speech program of this machine. Raises SipmailError without any."""
    for command in _SYNTHESIZERS:
        if shutil.which(command.partition(" ")[0]):
            return command
    raise SipmailError(
        "no speech program is installed: install espeak-ng, or name another with --command or, in "
        "the configuration, like speech: piper --model pl_PL-gosia-medium.onnx --output_file {file}"
    )


def speak(text: str, language: str, command: str, file: Path) -> None:
    """Runs `command` to speak `text` into the sound file `file`.

    In the command `{text}`, `{language}` and `{file}` are replaced, each within its word: no shell
    reads it. Without `{text}` the text comes on stdin, without `{file}` the sound goes to stdout.
    Raises SipmailError.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise SipmailError(f"the command {command!r} cannot be read: {error}") from None
    if not words:
        raise SipmailError("the command is empty: write the speech program and its arguments")
    filled = [
        word.replace("{language}", language).replace("{file}", str(file)).replace("{text}", text)
        for word in words
    ]
    try:
        done = subprocess.run(
            filled, input=b"" if "{text}" in command else text.encode(), capture_output=True
        )
    except OSError as error:
        raise SipmailError(f"{words[0]} cannot be run: {error.strerror}") from None
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise SipmailError(f"{words[0]} failed: {said or f'exit status {done.returncode}'}")
    if "{file}" not in command:
        file.write_bytes(done.stdout)
    if not file.is_file() or not file.stat().st_size:
        raise SipmailError(f"{words[0]} has made no sound: where does it write? (see {{file}})")
