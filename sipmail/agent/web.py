"""HTTP for people and monitoring: `/healthz`, `/metrics` and `/`, where `http:` is set.

Read-only, no audio, no scripts, nothing from elsewhere. It runs in a thread of its own on the
standard library's WSGI server, and asks the agent for a snapshot; a slow reader holds up nobody.
Of too many connections the oldest is ended: calls need the files that they would take.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Iterable
from datetime import datetime
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from jinja2 import Environment, PackageLoader, select_autoescape
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from sipmail.agent.latest import MessageLine
from sipmail.agent.status import Snapshot
from sipmail.errors import SipmailError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

log = logging.getLogger(__name__)

_TIMEOUT_SECONDS = 10.0
_CONNECTIONS = 32
_WAKE_SECONDS = 0.1
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_HEADERS = [
    ("Cache-Control", "no-store"),
    ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
    ("X-Content-Type-Options", "nosniff"),
]


class StatusServer:
    """Serves what `snapshot()` says; it is called in the server's threads."""

    def __init__(
        self,
        host: str,
        port: int,
        snapshot: Callable[[], Snapshot],
        latest: Callable[[], tuple[MessageLine, ...]] = tuple,
    ) -> None:
        self._pages = Pages(snapshot, latest)
        try:
            self._server = make_server(
                host,
                port,
                self._pages,
                server_class=_Server6 if ":" in host else _Server,
                handler_class=_Handler,
            )
        except OSError as error:
            raise SipmailError(f"http: cannot listen on {host}:{port}: {error}") from error
        self.port: int = self._server.server_port
        self._thread = threading.Thread(
            target=self._server.serve_forever, name="http", daemon=True, kwargs={"poll_interval": 5}
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Stops listening, at once: a connection wakes the server from its poll."""
        address = self._server.socket.getsockname()[:2]
        ending = threading.Thread(target=self._server.shutdown, name="http end", daemon=True)
        ending.start()
        while ending.is_alive():
            with contextlib.suppress(OSError):
                socket.create_connection(address, _WAKE_SECONDS).close()
            ending.join(_WAKE_SECONDS)
        self._server.server_close()


class Pages:
    """The WSGI application."""

    def __init__(
        self,
        snapshot: Callable[[], Snapshot],
        latest: Callable[[], tuple[MessageLine, ...]] = tuple,
    ) -> None:
        self._snapshot = snapshot
        self._latest = latest
        self._registry = CollectorRegistry()
        self._registry.register(_Metrics(snapshot))
        environment = Environment(
            loader=PackageLoader("sipmail.agent", "templates"),
            autoescape=select_autoescape(default=True),
        )
        environment.filters["ago"] = ago
        self._page = environment.get_template("status.html")

    def __call__(self, environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        status, kind, body = self._answer(environ["REQUEST_METHOD"], environ.get("PATH_INFO", "/"))
        length = ("Content-Length", str(len(body)))
        start(status, [("Content-Type", kind), length, *_HEADERS])
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    def _answer(self, method: str, path: str) -> tuple[str, str, bytes]:
        if method not in ("GET", "HEAD"):
            return "405 Method Not Allowed", "text/plain", b"only GET\n"
        if path == "/healthz":
            problems = self._snapshot().problems()
            text = "\n".join(problems) if problems else "ok"
            status = "503 Service Unavailable" if problems else "200 OK"
            return status, "text/plain; charset=utf-8", f"{text}\n".encode()
        if path == "/metrics":
            return "200 OK", _METRICS_TYPE, generate_latest(self._registry)
        if path == "/":
            snapshot = self._snapshot()
            now = datetime.now(snapshot.started.tzinfo)
            page = self._page.render(status=snapshot, latest=self._latest(), now=now)
            return "200 OK", "text/html; charset=utf-8", page.encode()
        return "404 Not Found", "text/plain", b"try /, /healthz or /metrics\n"


class _Metrics(Collector):
    """The snapshot in Prometheus's words."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterable[Metric]:
        return []

    def collect(self) -> Iterable[Metric]:
        now = self._snapshot()
        registered = GaugeMetricFamily(
            "sipmail_trunk_registered", "Whether the trunk is registered.", labels=["trunk"]
        )
        for trunk in now.trunks:
            if trunk.registered is not None:
                registered.add_metric([trunk.name], float(trunk.registered))
        yield registered
        gauges = {
            "calls": ("Calls in progress.", len(now.calls)),
            "queue_messages": ("Messages that wait for delivery.", now.queue),
            "queue_oldest_seconds": ("Age of the oldest of them.", now.queue_oldest),
            "failed_messages": ("Messages that could not be delivered.", now.failed),
            "spool_free_bytes": ("Free space on the spool's disk.", now.free_disk),
            "healthy": ("Whether /healthz says 200.", not now.problems()),
            "start_time_seconds": ("Unix time of the start.", now.started.timestamp()),
        }
        for name, (text, value) in gauges.items():
            yield GaugeMetricFamily(f"sipmail_{name}", text, float(value))
        counters = {
            "calls_taken": ("Calls that were taken.", now.calls_taken),
            "calls_refused": ("Calls that were refused.", now.calls_refused),
            "strangers": ("SIP requests of no trunk, left without an answer.", now.strangers),
            "sip_received": ("SIP messages received.", now.sip_received),
            "sip_sent": ("SIP messages sent.", now.sip_sent),
            "deliveries": ("E-mails taken by the server, a recipient each.", now.delivered),
            "delivery_failures": ("Recipients that were given up.", now.delivery_failures),
            "restarts": ("Media workers and couriers started again.", now.restarts),
        }
        for name, (text, value) in counters.items():
            yield CounterMetricFamily(f"sipmail_{name}", text, float(value))


def ago(when: datetime | None, now: datetime) -> str:
    """How long ago that was, for a table: `3 s`, `5 min`, `2 h`, `4 d`."""
    if when is None:
        return ""
    seconds = max((now - when).total_seconds(), 0.0)  # the clock may have gone back
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{int(seconds / size)} {unit}"
    return f"{int(seconds / 86400)} d"


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._connections: dict[int, socket.socket] = {}
        self._guard = threading.Lock()
        super().__init__(*args, **kwargs)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serves a connection in a thread of its own."""
        with self._guard:
            while len(self._connections) >= _CONNECTIONS:
                oldest = self._connections.pop(next(iter(self._connections)))
                with contextlib.suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)  # its thread closes it
            self._connections[id(request)] = request
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Ends a connection that was served."""
        with self._guard:
            self._connections.pop(id(request), None)
            super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that is silent or gone is no news; what a page fails at, wsgiref logs."""
        log.debug("http: a connection of %s failed", client_address, exc_info=True)


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(WSGIRequestHandler):
    timeout = _TIMEOUT_SECONDS

    def log_message(self, format: str, *args: Any) -> None:
        """Monitoring asks every few seconds: its requests are no news."""
