"""Whether this machine gives what a configuration asks for: spool, disk, open files, ports, sounds.

Nothing stays changed, and an agent that runs at the same time is not disturbed: the ports that it
has are taken for its own.
"""

from __future__ import annotations

import errno
import os
import pwd
import socket
import stat
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryFile

from sipmail.agent.resources import calls_possible
from sipmail.agent.settings import listeners
from sipmail.agent.step import Step, failed, note, right
from sipmail.audio.prompt import decode
from sipmail.config.model import Config
from sipmail.config.values import format_size
from sipmail.errors import SipmailError, SpoolError
from sipmail.net.tls import expiry
from sipmail.spool.control import NotRunning, ask
from sipmail.voicemail.plan import sources

_BYTES_A_SECOND = 9200
"""What a second of a recording takes in the spool: fifty packets of G.711 with their headers."""
_MEMORY = ("tmpfs", "ramfs")
_SHOWN = 3
_SOON = timedelta(days=14)


def is_running(spool: Path) -> bool:
    """Whether an agent works in `spool` at this moment."""
    try:
        ask(spool, "ping")
    except NotRunning:
        return False
    except SpoolError:
        return True  # it has answered, if only that it knows no such word
    return True


def spool(config: Config) -> Iterator[Step]:
    """The folder of the messages: there, ours, writable, on a disk."""
    root = config.spool
    if not root.exists():
        yield _missing_spool(root)
        return
    if not root.is_dir():
        yield failed("spool", f"{root} is no folder", "move it away, or write another spool:")
        return
    try:
        owner, mode = root.stat().st_uid, root.stat().st_mode
        with TemporaryFile(dir=root) as file:
            file.write(b"sipmail")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        yield failed(
            "spool",
            f"{root} cannot be written by {_user(os.geteuid())}: {error.strerror}",
            f"make it sipmail's: chown -R {_user(os.geteuid())} {root}, or run this as its owner",
        )
        return
    if stat.S_IMODE(mode) & 0o077:
        cure = f"chmod 700 {root}"
        yield note("spool", f"{root}: others on this machine can read the messages", cure)
    elif _filesystem(root) in _MEMORY:
        cure = "put the spool on a disk: messages in memory are gone after a restart"
        yield note("spool", f"{root} is in memory ({_filesystem(root)})", cure)
    else:
        yield right("spool", f"{root} can be written, and belongs to {_user(owner)}")


def disk(config: Config) -> Iterator[Step]:
    """The space beside what `limits.free_disk` keeps free."""
    place = _nearest(config.spool)
    state = os.statvfs(place)
    free, least = state.f_bavail * state.f_frsize, config.limits.free_disk
    text = f"{_size(free)} free at {place}, limits.free_disk is {format_size(least)}"
    if free < least:
        yield failed(
            "disk", f"{text}: calls are refused", "free some space, or lower limits.free_disk"
        )
    elif state.f_files and state.f_favail < 10 * config.limits.calls:
        yield failed("disk", f"{place} has only {state.f_favail} inodes left", "delete some files")
    else:
        hours = (free - least) / _BYTES_A_SECOND / 3600
        yield right("disk", f"{text}: room for {hours:,.0f} h of messages")


def open_files(config: Config) -> Iterator[Step]:
    """The system's limit against `limits.calls`."""
    files, calls = calls_possible()
    text = f"{files} open files are allowed, limits.calls is {config.limits.calls}"
    if calls < config.limits.calls:
        yield failed(
            "open files",
            f"{text}: enough for {calls} calls",
            "raise LimitNOFILE (systemd) or `ulimit -Hn`, or lower limits.calls",
        )
    else:
        yield right("open files", text)


def sip_addresses(config: Config, running: bool) -> Iterator[Step]:
    """What `sip.listen` and `http` name can be opened."""
    wanted = [(str(one.transport), one.host, one.port) for one in config.sip.listen]
    if config.http is not None:
        wanted.append(("http", config.http.host, config.http.port))
    for transport, host, port in wanted:
        what = "http" if transport == "http" else "listen"
        shown = f"{transport}://{f'[{host}]' if ':' in host else host}:{port}"
        why = cannot_bind(transport, host, port)
        if why is None:
            yield right(what, f"{shown} is free")
        elif running and why.errno == errno.EADDRINUSE:
            yield right(what, f"{shown} is in use, sipmail is running")
        else:
            yield failed(what, f"{shown} cannot be opened: {why.strerror}", _bind_cure(why))


def certificates(config: Config, now: datetime) -> Iterator[Step]:
    """What `tls://` listeners show: readable, and not over soon."""
    try:
        listeners(config)
    except SipmailError as error:
        yield failed("certificate", str(error), "write the paths of the PEM files of chain and key")
        return
    files = {one.certificate for one in config.sip.listen if one.certificate is not None}
    for file in sorted(files):
        ends = expiry(file)
        if ends is None:
            yield right("certificate", f"{file} can be used")
        elif ends <= now:
            yield failed("certificate", f"{file} has expired on {ends:%Y-%m-%d}", "renew it")
        elif ends - now < _SOON:
            yield note("certificate", f"{file} expires on {ends:%Y-%m-%d}", "renew it")
        else:
            yield right("certificate", f"{file} is valid until {ends:%Y-%m-%d}")


def rtp_ports(config: Config, running: bool) -> Iterator[Step]:
    """Enough pairs of `rtp.ports` are free for `limits.calls`. Of a running agent none is tried:
    it may want that port for a call at this moment."""
    pairs = config.rtp.ports.pairs
    if running:
        yield right("rtp ports", f"{config.rtp.ports}, not tried while sipmail is running")
        return
    taken = [port for port in pairs if not (_is_free(port) and _is_free(port + 1))]
    free, calls = len(pairs) - len(taken), config.limits.calls
    text = f"{free} of {len(pairs)} pairs of {config.rtp.ports} are free"
    first = ", ".join(map(str, taken[:_SHOWN])) + (" …" if len(taken) > _SHOWN else "")
    cure = f"see who has {first} with `ss -lnup`, or write another range in rtp.ports"
    if free < calls:
        yield failed("rtp ports", f"{text}, too few for limits.calls: {calls}", cure)
    elif taken:
        yield note("rtp ports", text, cure)
    else:
        yield right("rtp ports", text)


def greetings(config: Config) -> Iterator[Step]:
    """Every sound that callers may hear can be decoded."""
    paths = sorted({path for mailbox in config.mailboxes.values() for path in sources(mailbox)})
    problems = []
    for path in paths:
        try:
            decode(path)
        except SipmailError as error:
            problems.append(str(error))
    for problem in problems:
        yield failed("greetings", problem, "see `sipmail greeting list`")
    if not problems:
        yield right("greetings", f"all {len(paths)} sounds can be played")


def maildir(folder: Path) -> Iterator[Step]:
    """The Maildir that takes the e-mails where there is no SMTP."""
    place = _nearest(folder)
    if os.access(place, os.W_OK | os.X_OK):
        new = "" if place == folder else ", it will be made"
        yield right("mail", f"e-mails go into the Maildir {folder}{new}")
    else:
        user = _user(os.geteuid())
        yield failed("mail", f"{place} cannot be written by {user}", f"chown {user} {place}")


def _missing_spool(root: Path) -> Step:
    place = _nearest(root)
    if os.access(place, os.W_OK | os.X_OK):
        return right("spool", f"{root} will be made")
    user = _user(os.geteuid())
    return failed(
        "spool",
        f"{root} is not there, and {user} cannot make it",
        f"as root: install -d -m 700 -o {user} {root}",
    )


def _nearest(path: Path) -> Path:
    """`path`, or the folder above it that is there."""
    return next(one for one in (path, *path.parents) if one.exists())


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def _filesystem(path: Path) -> str:
    """The type of the file system of `path`; empty where the system does not say."""
    best, found = "", ""
    with suppress(OSError):
        for line in Path("/proc/self/mounts").read_text().splitlines():
            _, mount, kind, *_ = line.split(" ")
            mount = mount.encode().decode("unicode_escape", "replace")
            if path.resolve().is_relative_to(mount) and len(mount) >= len(best):
                best, found = mount, kind
    return found


def _size(count: int) -> str:
    """Bytes in the unit that gives few digits: `97.3 GB`."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TB"


def cannot_bind(transport: str, host: str, port: int) -> OSError | None:
    """Why the address cannot be opened; None when it can."""
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=kind)[0]
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)
            if kind == socket.SOCK_STREAM:
                probe.listen(1)
    except OSError as error:
        return error
    return None


def _bind_cure(error: OSError) -> str:
    match error.errno:
        case errno.EADDRINUSE:
            return "another program has the port: see `ss -lnup`, or write another one"
        case errno.EADDRNOTAVAIL:
            return "this machine has no such address: write one of `ip address`, or 0.0.0.0"
        case errno.EACCES:
            return "ports below 1024 are root's: write a higher one"
    return "write an address and port of this machine"


def _is_free(port: int) -> bool:
    return cannot_bind("udp", "0.0.0.0", port) is None  # noqa: S104
