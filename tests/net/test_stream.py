"""TCP and TLS connections: framing, reuse, keep-alive, certificates, and failures told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from sipmail.errors import ProtocolError
from sipmail.net import stream
from sipmail.net.stream import Streams
from sipmail.net.tls import ServerCertificate, TlsPeer, client_context
from sipmail.sip.actions import Hop
from tests.net.certificates import Authority
from tests.support.patience import PATIENCE

MESSAGE = b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 3\r\n\r\nabc"
REQUEST = (
    b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/TCP 192.0.2.1;branch=z9hG4bK1\r\n"
    b"From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n"
)


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await test()

    asyncio.run(bounded())


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


class End:
    """`Streams` that write down what they hear and what fails; `trusted` as for them."""

    def __init__(
        self, tls: ssl.SSLContext | None = None, trusted: Callable[[str], bool] = lambda host: True
    ) -> None:
        self.heard: asyncio.Queue[tuple[bytes, Hop]] = asyncio.Queue()
        self.failed: asyncio.Queue[tuple[Hop, str]] = asyncio.Queue()
        self.broken: asyncio.Queue[tuple[ProtocolError, Hop]] = asyncio.Queue()
        self.streams = Streams(
            lambda message, source, host, port: self.heard.put_nowait((message, source)),
            lambda hop, why: self.failed.put_nowait((hop, why)),
            self._broken,
            tls,
            trusted,
        )

    def _broken(self, error: ProtocolError, source: Hop) -> None:
        self.broken.put_nowait((error, source))
        self.streams.send(b"SIP/2.0 400 no\r\nContent-Length: 0\r\n\r\n", source)


async def closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Returns once the far end has closed, with or without a word."""
    with contextlib.suppress(ConnectionError):
        await drained(reader, writer)


async def drained(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """All that comes until the far end closes."""
    data = await reader.read()
    writer.close()
    await writer.wait_closed()
    return data


def test_strangers_never_keep_a_trunk_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(stream, "_STRANGERS_LIMIT", 2)

    async def main() -> None:
        server = End(trusted=lambda host: host == "127.0.0.2")
        port = await server.streams.listen("127.0.0.1", 0, None)
        held = []
        for _ in range(2):  # a message does not make them known
            held.append(await asyncio.open_connection("127.0.0.1", port))
            held[-1][1].write(MESSAGE)
            await server.heard.get()
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            await closed(reader, writer)
        local = ("127.0.0.2", 0)
        held.append(await asyncio.open_connection("127.0.0.1", port, local_addr=local))
        held[-1][1].write(MESSAGE)
        assert (await server.heard.get())[1].host == "127.0.0.2"
        await server.streams.close()
        for reader, writer in held:
            await closed(reader, writer)

    run(main)
    assert caplog.text.count("too many connections, the one with 127.0.0.1:") == 1


def test_a_stranger_is_cut_off_whatever_it_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_FIRST_MESSAGE_SECONDS", 0.05)

    async def main() -> None:
        server = End(trusted=lambda host: False)
        port = await server.streams.listen("127.0.0.1", 0, None)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(MESSAGE)
        await closed(reader, writer)
        assert (await server.failed.get())[0].host == "127.0.0.1"
        await server.streams.close()

    run(main)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_single_bytes_come_out_as_messages_and_the_answer_takes_the_connection(host: str) -> None:
    async def main() -> None:
        server, client = End(), End()
        port = await server.streams.listen(host, 0, None)
        hop = Hop("tcp", host, port)
        for index in range(len(MESSAGE)):
            client.streams.send(MESSAGE[index : index + 1], hop)
            await asyncio.sleep(0)
        client.streams.send(MESSAGE, hop)
        first, source = await server.heard.get()
        second, again = await server.heard.get()
        assert first == second == MESSAGE
        assert source == again
        assert source.host == host
        server.streams.send(MESSAGE, source)
        assert await client.heard.get() == (MESSAGE, hop)
        await client.streams.close()
        assert (await server.failed.get())[0] == source
        await server.streams.close()

    run(main)


def test_a_large_message_comes_whole() -> None:
    async def main() -> None:
        server, client = End(), End()
        port = await server.streams.listen("127.0.0.1", 0, None)
        large = b"MESSAGE sip:a@b SIP/2.0\r\nContent-Length: 60000\r\n\r\n" + b"x" * 60000
        client.streams.send(large, Hop("tcp", "127.0.0.1", port))
        assert (await server.heard.get())[0] == large
        await client.streams.close()
        await server.streams.close()

    run(main)


def test_a_double_crlf_is_answered_with_one() -> None:
    async def main() -> None:
        server = End()
        port = await server.streams.listen("127.0.0.1", 0, None)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"\r\n\r\n")
        assert await reader.readexactly(2) == b"\r\n"
        await server.streams.close()
        assert await drained(reader, writer) == b""

    run(main)


@pytest.mark.parametrize(
    ("sent", "answerable"),
    [
        (REQUEST + b"Content-Length: 1 2\r\n\r\n", True),
        (REQUEST + b"Content-Length: 99999999\r\n\r\n", True),
        (b"x" * 70000, False),
    ],
)
def test_what_cannot_be_framed_is_answered_where_possible_then_closed(
    sent: bytes, answerable: bool
) -> None:
    async def main() -> None:
        server = End()
        port = await server.streams.listen("127.0.0.1", 0, None)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST + b"Content-Length: 0\r\n\r\n" + sent)
        assert (await drained(reader, writer)).startswith(b"SIP/2.0 400")
        assert (await server.heard.get())[0] == REQUEST + b"Content-Length: 0\r\n\r\n"
        error, source = await server.broken.get()
        assert (error.request is not None) is answerable
        hop, why = await server.failed.get()
        assert hop == source
        assert "no SIP" in why
        await server.streams.close()

    run(main)


def test_a_half_closed_connection_is_closed_and_told_once() -> None:
    async def main() -> None:
        server = End()
        port = await server.streams.listen("127.0.0.1", 0, None)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(MESSAGE)
        _, source = await server.heard.get()
        writer.write_eof()
        assert await drained(reader, writer) == b""
        assert await server.failed.get() == (source, "the peer closed the connection")
        await server.streams.close()
        assert server.failed.empty()

    run(main)


def test_a_refused_connection_is_told() -> None:
    async def main() -> None:
        end = End()
        hop = Hop("tcp", "127.0.0.1", closed_port())
        end.streams.send(MESSAGE, hop)
        failed, why = await end.failed.get()
        assert failed == hop
        assert "refused" in why.lower() or "call failed" in why.lower()
        await end.streams.close()

    run(main)


def test_a_peer_that_hangs_up_is_told_and_the_next_message_connects_again() -> None:
    async def main() -> None:
        accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
        server = await asyncio.start_server(
            lambda _, writer: accepted.put_nowait(writer), "127.0.0.1", 0
        )
        hop = Hop("tcp", "127.0.0.1", server.sockets[0].getsockname()[1])
        end = End()
        for _ in range(2):
            end.streams.send(MESSAGE, hop)
            writer = await accepted.get()
            writer.close()
            await writer.wait_closed()
            assert (await end.failed.get())[0] == hop
        await end.streams.close()
        server.close()

    run(main)


def test_a_dropped_connection_is_not_told_and_replaced_by_the_next_message() -> None:
    async def main() -> None:
        server, client = End(), End()
        port = await server.streams.listen("127.0.0.1", 0, None)
        hop = Hop("tcp", "127.0.0.1", port)
        client.streams.send(MESSAGE, hop)
        _, first = await server.heard.get()
        client.streams.drop(hop)
        client.streams.send(MESSAGE, hop)
        _, second = await server.heard.get()
        assert first != second
        assert client.failed.empty()
        await client.streams.close()
        await server.streams.close()

    run(main)


class TestTls:
    """A server with a certificate for `pbx.example.com`, at 127.0.0.1."""

    def connect(
        self,
        folder: Path,
        name: str,
        context: Callable[[Path], ssl.SSLContext | None],
        days: int = 30,
    ) -> str:
        """ "" once a message came through, else why it did not."""
        outcome: list[str] = []

        async def main() -> None:
            authority = Authority(folder)
            issued = authority.issue("pbx.example.com", days=days)
            server = End()
            certificate = ServerCertificate(issued.certificate, issued.key)
            port = await server.streams.listen("127.0.0.1", 0, certificate.context)
            client = End()
            hop = Hop("tls", "127.0.0.1", port)
            client.streams.peers["127.0.0.1", port] = TlsPeer(name, context(authority.file))
            client.streams.send(MESSAGE, hop)
            heard = asyncio.ensure_future(server.heard.get())
            failed = asyncio.ensure_future(client.failed.get())
            done, _ = await asyncio.wait({heard, failed}, return_when=asyncio.FIRST_COMPLETED)
            if heard in done:
                message, source = heard.result()
                assert message == MESSAGE
                assert source.transport == "tls"
                outcome.append("")
            else:
                outcome.append(failed.result()[1])
            for one in (heard, failed):
                one.cancel()
            await client.streams.close()
            await server.streams.close()

        run(main)
        return outcome[0]

    def test_a_certificate_of_our_own_ca_for_the_right_name(self, tmp_path: Path) -> None:
        assert self.connect(tmp_path, "pbx.example.com", client_context) == ""

    def test_the_wrong_name(self, tmp_path: Path) -> None:
        why = self.connect(tmp_path, "other.example.com", client_context)
        assert "certificate is not accepted" in why
        assert "other.example.com" in why

    def test_a_ca_that_nobody_trusts(self, tmp_path: Path) -> None:
        why = self.connect(tmp_path, "pbx.example.com", lambda _: None)
        assert "certificate is not accepted" in why

    def test_an_expired_certificate(self, tmp_path: Path) -> None:
        why = self.connect(tmp_path, "pbx.example.com", client_context, days=-1)
        assert "certificate is not accepted" in why
        assert "expired" in why

    def test_one_that_nobody_checks(self, tmp_path: Path) -> None:
        def unchecked(_: Path) -> ssl.SSLContext:
            return client_context(verify=False)

        assert self.connect(tmp_path, "other.example.com", unchecked, days=-1) == ""


def test_a_ca_that_the_system_trusts_from_now_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Told of by a reload: until then nobody reads all the CAs again."""

    async def main() -> None:
        authority, other = Authority(tmp_path / "one"), Authority(tmp_path / "other")
        issued = authority.issue("127.0.0.1")
        server, client = End(), End()
        certificate = ServerCertificate(issued.certificate, issued.key)
        port = await server.streams.listen("127.0.0.1", 0, certificate.context)
        hop = Hop("tls", "127.0.0.1", port)
        monkeypatch.setenv("SSL_CERT_FILE", str(other.file))
        for _ in range(2):
            client.streams.send(MESSAGE, hop)
            _, why = await client.failed.get()
            assert "certificate is not accepted" in why
            monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        client.streams.trust_anew()
        client.streams.send(MESSAGE, hop)
        message, _ = await server.heard.get()
        assert message == MESSAGE
        await client.streams.close()
        await server.streams.close()

    run(main)
