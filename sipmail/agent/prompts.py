"""The greetings and prompts of a configuration, decoded once and ready for the media worker.

A prompt is named by its file; the worker is given the stem of the prepared `.ulaw` and `.alaw`
files in the spool's `prompts/`. All of it is done before the first call and again, off to the
side, at a reload: a call never waits for a decoder.
"""

from __future__ import annotations

from pathlib import Path

from sipmail.audio.prompt import prepare
from sipmail.config.model import Config
from sipmail.voicemail.plan import sources


def sweep(cache: Path) -> None:
    """Deletes the played-back recordings that a crash left: see `review`."""
    for left in cache.glob("review-*"):
        left.unlink(missing_ok=True)


def prepare_all(config: Config, cache: Path) -> dict[Path, str]:
    """The stem of the prepared form of every file that a call under `config` may play.

    Blocks for seconds the first time: run it in a thread. Raises SipmailError that names the
    file and the cure.
    """
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    wanted = {path for mailbox in config.mailboxes.values() for path in sources(mailbox)}
    return {path: str(prepare(path, cache).stem) for path in sorted(wanted)}
