"""Child processes that never outlive their parent, and never hold it up.

A child is `python -m MODULE FD`: FD is its end of a `Channel`. It ends when that channel ends, and
the kernel kills it should the parent die first (`PR_SET_PDEATHSIG`, Linux), so that after a
`kill -9` no orphan holds ports or journals. A parent that is gone before the child could say so is
noticed by the end of the channel.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys

from sipmail.channel import Channel

_PR_SET_PDEATHSIG = 1
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
"""A numpy that multiplies small matrices in several threads burns more than it computes."""

_KEPT_MEMORY = str(16 << 20)
_ALLOCATOR = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": _KEPT_MEMORY,
    "MALLOC_TRIM_THRESHOLD_": _KEPT_MEMORY,
}
"""glibc gives an array's memory back to the kernel, which clears it for the next array: half the
time of measuring a message. So that many bytes stay with the process, in one heap for all threads.
"""


def spawn(module: str, *arguments: str) -> tuple[subprocess.Popen[bytes], Channel]:
    """Starts `python -m module FD arguments…`; returns the process and our end of its channel.

    Call it from the main thread: the kernel ties the child to the thread that started it.
    """
    ours, theirs = Channel.pair()
    with theirs:
        fd = theirs.fileno()
        process = subprocess.Popen(
            [sys.executable, "-m", module, str(fd), *arguments],
            pass_fds=(fd,),
            env={**_ONE_THREAD, **_ALLOCATOR, **os.environ},
            stdin=subprocess.DEVNULL,
        )
    return process, ours


def adopt() -> Channel:
    """In the child, first thing: the channel to the parent, whose death from here on is ours too.

    SIGINT and SIGTERM are left to the parent: a Ctrl-C in a terminal reaches the whole group, and
    it is the parent that says when a call or a delivery may be cut.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    return Channel.from_fd(int(sys.argv[1]))
