"""`sipmail run`: starts everything, keeps it running, reloads it, and stops it in good order.

The order of the start: the spool is ours (or another sipmail has it), what a crash left goes to
the queue, greetings are decoded, courier and media workers run, the sockets are open: `ready`;
then the trunks register. The order of the end is the other way round, so that a PBX sends no call
to who cannot take it, and no call or delivery in progress is cut within its grace.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sipmail import __version__
from sipmail.agent import collector, greetings, standing
from sipmail.agent.adopter import adopter
from sipmail.agent.identity import load_secret
from sipmail.agent.keeper import Keeper
from sipmail.agent.prompts import prepare_all, sweep
from sipmail.agent.reception import Reception
from sipmail.agent.resources import ExhaustionLog, raise_file_limit
from sipmail.agent.settings import (
    keep_what_needs_restart,
    listeners,
    needing_restart,
    sip_trunks,
    trust,
)
from sipmail.agent.status import CallLine, Snapshot, TrunkLine
from sipmail.agent.store import Store
from sipmail.agent.switchboard import Switchboard
from sipmail.agent.trunks import TrunkWatch
from sipmail.agent.workers import Workers
from sipmail.config.loader import load
from sipmail.config.model import Config
from sipmail.errors import ConfigError, SipmailError, SpoolError
from sipmail.mail import protocol
from sipmail.mail.client import Courier
from sipmail.net.address import LocalAddresses
from sipmail.net.driver import Driver
from sipmail.sip import actions as sip
from sipmail.sip.endpoint import Endpoint
from sipmail.sip.trunk import Trunk
from sipmail.spool.control import ControlServer
from sipmail.spool.message import Message
from sipmail.spool.spool import Spool

if TYPE_CHECKING:
    from sipmail.agent.web import StatusServer

log = logging.getLogger(__name__)

_SETTLE_SECONDS = 4.0
_SNAPSHOT_SECONDS = 5.0
_LOOK_SECONDS = 30.0
_GONE_STATUS = 480


class Agent:
    """One agent with its configuration; `run` returns when it was told to stop."""

    def __init__(self, config: Config, *, trace: bool = False) -> None:
        """With `trace` every SIP message is logged. Raises SipmailError for wrong certificates."""
        self.config = config
        self._started = datetime.now(UTC)
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()
        self._news = asyncio.Event()
        self._reloading = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._prompts: dict[Path, str] = {}
        self._delivered = 0
        self._given_up = 0
        self._secret = b""
        self.spool = Spool(config.spool)
        self.store = Store(self.spool)
        self.trunks = TrunkWatch(
            asyncio.get_running_loop().time,
            self._tell_admin,
            lambda trunk: self.endpoint.registrations.get(trunk),
        )
        self.courier = Courier(
            config, on_event=self._on_courier, on_exit=lambda: self._courier_keeper.died()
        )
        self._courier_keeper = Keeper("courier", self.courier.start)
        self.workers = Workers(
            config.rtp,
            lambda: tuple(self._prompts.values()),
            lambda event: self.switchboard.on_media(event),
            lambda worker: self.switchboard.on_worker_exit(worker),
        )
        self.endpoint = Endpoint(
            (),
            tokens=lambda: secrets.token_hex(8),
            jitter=random.random,
            user_agent=f"sipmail/{__version__}",
        )
        self.driver = Driver(
            self.endpoint, LocalAddresses(config.sip.public_address), self._on_action
        )
        self.driver.trust(trust(config))
        self.driver.trace.everything = trace
        self._listeners, self._certificates = listeners(config)
        self.switchboard = Switchboard(
            self._reception(),
            self.workers,
            self.store,
            self.driver,
            self._kept,
            lambda: self._background(self._take_greetings()),
        )
        self._control: ControlServer | None = None
        self._web: StatusServer | None = None

    async def run(self) -> None:
        """Starts, serves until SIGTERM or SIGINT, stops.

        Raises SipmailError when it cannot start; everything that was started is stopped then.
        """
        try:
            self._catch_signals()
            async with self._reloading:  # a SIGHUP meanwhile waits for its end
                await self._start()
            await self._stop.wait()
            await self._wind_down()
        finally:
            await self._close()

    # --- start ----------------------------------------------------------------------------------

    async def _start(self) -> None:
        raise_file_limit(self.config.limits.calls)
        asyncio.get_running_loop().set_exception_handler(ExhaustionLog())
        await self.store.run(self.spool.open)
        for message in await self.store.run(self.spool.recover):
            log.warning("%s was interrupted: what was recorded is queued", message.id)
        await self.store.run(sweep, self._prompt_cache)
        await self.store.run(greetings.sweep, self.spool.root)
        self.config = await self.store.run(greetings.recorded, self.config, self.spool.root)
        self._prompts = await self.store.run(prepare_all, self.config, self._prompt_cache)
        self.switchboard.reception = self._reception()
        await self.store.run(self.switchboard.reception.warm_up)
        await self._start_children()
        handlers = {
            "queue.adopt": adopter(self.store, self.courier.notify),
            standing.COMMAND: lambda _: standing.report(self.config, self.trunks),
        }
        self._control = ControlServer(
            self.spool.root, {**self.courier.handlers(), **handlers, "trace": self._switch_trace}
        )
        await self._control.start()
        if self.config.http is not None:
            self._web = self._status_server(self.config.http.host, self.config.http.port)
            self._web.start()
        self._secret = await self.store.run(load_secret, self.spool.root)
        collector.settle()
        self.driver.perform(self.endpoint.reconfigure(self._sip_trunks(), self.driver.now))
        if self._stop.is_set():
            return
        listening = await self.driver.listen(self._listeners)
        self._background(self._look_around())
        self.trunks.follow(self._registering())
        # The one line that scripts wait for: bare, so that it is easily found.
        sys.stderr.write(f"ready {' '.join(listening)}\n")
        sys.stderr.flush()
        self.driver.perform(self.endpoint.start(self.driver.now))

    async def _start_children(self) -> None:
        """Courier and media workers at the same time: each has much to load."""
        courier = asyncio.create_task(self._courier_keeper.start())
        try:
            await self.workers.start()
        finally:
            await courier

    def _reception(self) -> Reception:
        return Reception(
            self.config, self._prompts, self.spool.free_bytes, lambda: datetime.now(UTC)
        )

    @property
    def _prompt_cache(self) -> Path:
        return self.spool.root / "prompts"

    def _registering(self) -> list[str]:
        return [name for name, trunk in self.config.sip.trunks.items() if trunk.registrar]

    def _sip_trunks(self) -> list[Trunk]:
        return sip_trunks(self.config, self._secret)

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._asked_to_stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: self._background(self.reload()))

    # --- while it runs --------------------------------------------------------------------------

    def _on_action(self, action: sip.Action) -> None:
        self._news.set()
        self.trunks.on_action(action)
        self.switchboard.on_action(action)

    def _kept(self, message: Message) -> None:
        self.courier.new(message.id)

    def _tell_admin(self, subject: str, text: str) -> None:
        self.courier.tell_admin("trunk", subject, text)

    def _on_courier(self, event: protocol.Event) -> None:
        match event:
            case protocol.Delivered():
                self._delivered += 1
            case protocol.Failed():
                self._given_up += 1

    async def _look_around(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            self.trunks.look()
            now = datetime.now(UTC)
            for certificate in self._certificates:
                certificate.refresh(now)
            for message in await self.store.run(self.spool.retry):
                log.warning("%s could not be queued before, now it is", message.id)
                self._kept(message)

    async def _switch_trace(self, arguments: Mapping[str, object]) -> object:
        """`sipmail trace on|off [TRUNK]`; the answer is what is traced from now on."""
        trunk = arguments.get("trunk")
        if trunk is not None and trunk not in self.config.sip.trunks:
            names = ", ".join(self.config.sip.trunks)
            raise SipmailError(f"there is no trunk {trunk}: there are {names}")
        trace = self.driver.trace
        trace.switch(arguments.get("on") is True, None if trunk is None else str(trunk))
        log.info(
            "the SIP trace is %s",
            "on"
            if trace.everything
            else f"on for {', '.join(trace.trunks)}"
            if trace.on
            else "off",
        )
        return {"everything": trace.everything, "trunks": list(trace.trunks)}

    def snapshot(self) -> Snapshot:
        """How the agent is at this moment."""
        now, monotonic = datetime.now(UTC), self.driver.now
        spool_trouble = ""
        try:
            free_disk = self.spool.free_bytes()
        except SpoolError as error:
            free_disk, spool_trouble = 0, str(error)
        queue = self.courier.status
        states = self.trunks.states
        return Snapshot(
            version=__version__,
            started=self._started,
            trunks=tuple(
                TrunkLine(name, None, None, "")
                if (state := states.get(name)) is None
                else TrunkLine(
                    name,
                    state.registered,
                    now - timedelta(seconds=monotonic - state.since),
                    state.last_error,
                )
                for name in self.config.sip.trunks
            ),
            calls=tuple(
                CallLine(
                    call.message.mailbox,
                    call.message.caller.number or "withheld",
                    call.message.reason,
                    call.message.received,
                )
                for call in self.switchboard.calls.values()
            ),
            calls_taken=self.switchboard.taken,
            calls_refused=self.switchboard.refused,
            strangers=self.trunks.strangers,
            sip_received=self.driver.received,
            sip_sent=self.driver.sent,
            queue=queue.queue,
            queue_oldest=now.timestamp() - queue.oldest if queue.oldest else 0.0,
            failed=queue.failed,
            trouble=queue.trouble,
            delivered=self._delivered,
            delivery_failures=self._given_up,
            restarts=self.workers.restarts + self._courier_keeper.restarts,
            free_disk=free_disk,
            least_disk=self.config.limits.free_disk,
            spool_trouble=spool_trouble,
            dead=("the courier is not running: nothing is delivered",) * (not self.courier.running)
            + ("no media worker is running: calls are refused",) * (not self.workers.running),
        )

    def _status_server(self, host: str, port: int) -> StatusServer:
        # Imported here: most agents have none, and start faster without.
        from sipmail.agent.latest import latest_messages
        from sipmail.agent.web import StatusServer

        snapshot = self._snapshot_for_thread()
        return StatusServer(host, port, snapshot, partial(latest_messages, self.spool))

    def _snapshot_for_thread(self) -> Callable[[], Snapshot]:
        loop = asyncio.get_running_loop()

        async def take() -> Snapshot:
            return self.snapshot()

        return lambda: asyncio.run_coroutine_threadsafe(take(), loop).result(_SNAPSHOT_SECONDS)

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a task of the agent failed", exc_info=error)

    async def _take_greetings(self) -> None:
        """A greeting was recorded by phone: the next call hears it."""
        async with self._reloading:
            config = greetings.recorded(self.config, self.spool.root)
            try:
                self._prompts = await asyncio.to_thread(prepare_all, config, self._prompt_cache)
            except SipmailError as error:
                log.error("the recorded greeting cannot be used: %s", error)
                return
            self.config = config
            self.workers.load()
            self.switchboard.reception = self._reception()
            log.info("the recorded greeting is in use")

    async def reload(self) -> None:
        """Reads the configuration again; a wrong one is reported and the old one stays."""
        async with self._reloading:
            try:
                config = await asyncio.to_thread(load, self.config.path)
                config = greetings.recorded(config, self.spool.root)
                prompts = await asyncio.to_thread(prepare_all, config, self._prompt_cache)
                trusted = trust(config)
            except ConfigError as error:
                for problem in error.problems:
                    log.error("%s", problem)
                log.error("the configuration was not reloaded, the old one stays")
                return
            except SipmailError as error:
                log.error("the configuration was not reloaded, the old one stays: %s", error)
                return
            for key in needing_restart(self.config, config):
                log.warning("the change of %s needs a restart; until then the old value stays", key)
            self.config = keep_what_needs_restart(self.config, config)
            self._prompts = prompts
            self.workers.load()
            self.switchboard.reception = self._reception()
            self.courier.reload(self.config)
            self.trunks.follow(self._registering())
            self.driver.trust(trusted)
            for certificate in self._certificates:
                certificate.refresh(datetime.now(UTC))
            self.driver.perform(self.endpoint.reconfigure(self._sip_trunks(), self.driver.now))
            log.info("configuration reloaded from %s", config.path)

    # --- the end --------------------------------------------------------------------------------

    def _asked_to_stop(self) -> None:
        if self._stop.is_set():
            log.warning("told to stop again: ending the calls now, keeping what was recorded")
            self._stop_now.set()
            return
        log.info("told to stop: unregistering, then waiting for the calls in progress")
        self._stop.set()

    async def _wind_down(self) -> None:
        """Unregisters, takes no more calls, lets those in progress finish within the grace."""
        self.endpoint.refuse_new(_GONE_STATUS)
        self.driver.perform(self.endpoint.unregister(self.driver.now))
        grace = self.config.shutdown_grace
        quiet = asyncio.create_task(self.switchboard.empty())
        hurry = asyncio.create_task(self._stop_now.wait())
        await asyncio.wait({quiet, hurry}, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        hurry.cancel()
        if not quiet.done():
            calls = len(self.switchboard.calls)
            log.warning("ending what is in progress (calls: %d), keeping what was recorded", calls)
            self.switchboard.end_all("sipmail stops")
            await quiet
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SETTLE_SECONDS):
                await self._settled()

    async def _settled(self) -> None:
        """Returns when no BYE and no REGISTER of ours waits for its answer any more."""
        while self.endpoint.busy:
            self._news.clear()
            await self._news.wait()

    async def _close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        if self._control is not None:
            await self._control.stop()
        if self._web is not None:
            await asyncio.to_thread(self._web.stop)
        await self.workers.stop()
        self._courier_keeper.stop()
        await self.courier.stop()
        await self.driver.close()
        self.store.close()
        self.spool.close()
