"""The composition root of a worker: builds its parts, owns its tasks, stops them in order."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Any, Self

from redis.exceptions import RedisError
from structlog import get_logger

from sfu_fleet import loop_lag
from sfu_fleet.cascade.contract import Parent
from sfu_fleet.cascade.parents import Parents
from sfu_fleet.cascade.upstream import Origin, Upstreams
from sfu_fleet.census import Census
from sfu_fleet.control import Services, build_app
from sfu_fleet.drain import Drain
from sfu_fleet.dtls import Certificate, Libsrtp
from sfu_fleet.forwarder import PacketPlane, PythonPlane
from sfu_fleet.ice import Intake, MediaSocket
from sfu_fleet.metrics import Metrics
from sfu_fleet.native import gcm
from sfu_fleet.native.build import NotBuiltError
from sfu_fleet.native.intake import NativeIntake
from sfu_fleet.native.plane import NativePlane
from sfu_fleet.negotiation import random_ice_string
from sfu_fleet.quality_news import QualityNews
from sfu_fleet.recording.folder import RecordingFolder
from sfu_fleet.recording.recordings import Recordings
from sfu_fleet.registry import Registry
from sfu_fleet.rooms import Limits, Rooms
from sfu_fleet.session import MediaContext
from sfu_fleet.settings import Settings
from sfu_fleet.stream_events import StreamEvents
from shared.object_store import ObjectStore
from shared.security.key_source import key_source
from shared.security.tokens import Tokens
from shared.serving import serve
from shared.state.connect import connect_redis
from shared.state.fleet import Fleet, Move, NoWorkerAvailable, Orders, Superseded, Worker
from shared.state.qualities import send_qualities
from shared.state.recordings import RecordingReports
from shared.state.rooms import RoomLog
from shared.tasks import end, keep
from shared.telemetry import tracing
from shared.telemetry.exposition import exposed

log = get_logger(__name__)


class SfuWorker:
    """One worker: an async context manager that has its socket and its tasks while it is entered."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stack = AsyncExitStack()
        # A worker that is started again has its id, and must not be taken for the process before it.
        self._boot = secrets.token_hex(4)
        self._stopping = False
        self._told_to_drain = False
        self._moves: set[asyncio.Task[None]] = set()
        self.metrics = Metrics()

    async def __aenter__(self) -> Self:
        """Open the socket and start the tasks."""
        settings = self._settings
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_loop_error)
        async with AsyncExitStack() as stack:
            redis = connect_redis(settings.redis_url)
            stack.push_async_callback(redis.aclose)
            media_socket = await MediaSocket.open(
                settings.media_host,
                settings.media_port,
                self.metrics,
                ipv6_host=settings.second_host(),
                tcp=settings.media_tcp,
                intake=self._open_intake(),
            )
            stack.callback(media_socket.close)
            media_socket.ciphers = gcm.ciphers()
            log.info("srtp", gcm="libsrtp" if isinstance(media_socket.ciphers, Libsrtp) else "intel-ipsec-mb")
            self.media_port = media_socket.port
            self.plane = self._open_plane(media_socket)
            stack.callback(self.plane.close)
            candidates = tuple((address, media_socket.port) for address in settings.announced())
            news = QualityNews(partial(send_qualities, redis), self.metrics)
            context = MediaContext(
                media_socket,
                Certificate(),
                self.metrics,
                candidates,
                f"headrace-{random_ice_string(8)}",
                loop.time,
                tcp_candidates=candidates if settings.media_tcp else (),
                traces=Path(settings.traces) if settings.traces else None,
                feedback=settings.feedback == "on" or (settings.feedback == "auto" and self.plane_is_native),
                tell_quality=news.tell,
            )
            self._fleet = Fleet(redis)
            self.events = StreamEvents(RoomLog(redis), settings.instance, self.metrics)
            self.rooms = Rooms(
                settings.instance,
                context,
                self.plane,
                self.events,
                Limits(settings.capacity_pps, settings.uplink_bitrate, settings.tiers()),
            )
            self.drainer = Drain(
                self.rooms,
                news.leave,
                self._elsewhere,
                self.metrics,
                moves_per_s=settings.drain_moves_per_s,
                deadline_s=settings.drain_deadline_s,
            )
            stack.push_async_callback(self._end_moves)
            me = Parent(settings.instance, settings.url)
            parents = Parents(me, settings.relay(), self.metrics)
            self.upstreams = Upstreams(me, parents, self.rooms, self._find_origin, self.metrics)
            stack.push_async_callback(self.upstreams.close)
            self.recordings = Recordings(
                settings.instance,
                RecordingFolder(Path(settings.recordings)),
                self._object_store(stack),
                settings.upload_bitrate,
                RecordingReports(redis),
                self.metrics,
                self._announce,
            )
            stack.push_async_callback(self.recordings.close)
            # Sessions that are left without a drain: a handshake's task that the garbage collector ends would use an
            # SRTP session that is freed already.
            stack.push_async_callback(self.rooms.drain)
            self.registry = Registry(self._fleet, self.describe, self.rooms.reports, self._obey, self.metrics)
            self.metrics.registration_age = lambda: self.registry.age_s
            keys = key_source(
                settings.jwt_keys,
                settings.jwt_keys_file,
                settings.jwks_url,
                insecure_hs256=settings.insecure_hs256,
            )
            tokens = Tokens(await keys.first())
            self._task(stack, partial(keys.follow, tokens), "keys")
            self.app = build_app(
                Services(
                    self.rooms,
                    self.registry,
                    self.metrics,
                    tokens,
                    self.recordings,
                    self.upstreams,
                    self.drainer,
                    settings.relay(),
                    media_socket.port,
                )
            )
            self._registering = self._task(stack, self.registry.run, "registry")
            self._task(stack, self.rooms.run, "rooms")
            self._task(stack, self.upstreams.run, "upstreams")
            self._task(stack, self.events.run, "stream-events")
            for name, duty in self.recordings.duties().items():
                self._task(stack, duty, name)
            self._task(stack, partial(loop_lag.watch, self.metrics.loop_lag), "loop-lag")
            self._task(stack, news.run, "quality-news")
            self._task(stack, Census(self.rooms, self.metrics).run, "census")
            self._stack = stack.pop_all()
        log.info("media_socket", host=settings.media_host, port=self.media_port, announced=settings.announced())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop tasks and close the socket, in the reverse order of their start."""
        await self._stack.aclose()

    async def _end_moves(self) -> None:
        self.drainer.cancel()
        await end(*self._moves)

    @property
    def plane_is_native(self) -> bool:
        """Whether C sends and reads."""
        return isinstance(self.plane, NativePlane)

    def describe(self) -> Worker:
        """What the registry is told about this worker."""
        counts = self.rooms.counts()
        settings = self._settings
        return Worker(
            id=settings.instance,
            url=settings.url,
            capacity_pps=settings.capacity_pps,
            load_pps=self.rooms.load_pps,
            publishers=counts["publish"],
            subscribers=counts["subscribe"],
            draining=self.rooms.draining,
            recordings=self.recordings.host,
            expected_pps=self.rooms.expected_pps(),
            joins_per_s=settings.joins_per_s,
            zone=settings.zone,
            version=settings.version,
            boot=self._boot,
            media=settings.private_media(self.media_port),
            relays=True,
        )

    async def _find_origin(self, room: str) -> Origin | None:
        """Who has a room's stream.

        Raises:
            ConnectionError: Redis does not answer.
        """
        try:
            view = await self._fleet.view()
            state = await self._fleet.room(room)
        except (RedisError, OSError) as error:
            raise ConnectionError(str(error)) from error
        if not state.held or state.worker not in view.workers:
            return None
        found = {worker.id: Parent(worker.id, worker.url) for worker in view.workers.values()}
        edges = tuple(found[edge.worker] for edge in state.edges if view.takes(edge.worker))
        serving = {state.worker, self._settings.instance} | {edge.worker for edge in state.edges}
        others = tuple(
            found[worker.id]
            for worker in view.workers.values()
            if worker.relays and worker.id not in serving and view.takes(worker.id)
        )
        return Origin(found[state.worker], state.token, edges, others)

    def _obey(self, orders: Orders) -> None:
        """What the fleet's operators want of this worker, and who is the origin of rooms by now."""
        if orders.drain:
            self.drainer.start("told to")
        elif self._told_to_drain and not self._stopping:
            self.drainer.cancel()
        self._told_to_drain = orders.drain
        for room, token in orders.superseded.items():
            self.rooms.supersede(room, token)
            self.upstreams.superseded(room)
        for move in orders.moves:
            task = asyncio.get_running_loop().create_task(self._move(move), name="move")
            self._moves.add(task)
            task.add_done_callback(self._moves.discard)

    async def _move(self, move: Move) -> None:
        """Have a viewer, or a room's publisher, go to another worker."""
        room = self.rooms.room(move.room)
        publisher = room.publisher if room is not None else None
        session = move.session or (publisher.id if publisher is not None else "")
        if publisher is not None and session == publisher.id and move.to:
            try:
                if (target := await self._fleet.find(move.to)) is not None:
                    await self._fleet.hand_over_origin(move.room, publisher.fence, target)
            except (RedisError, OSError, NoWorkerAvailable, Superseded) as error:
                log.warning("not_moved", room=move.room, to=move.to, error=str(error))
                return
        if not self.drainer.move(session):
            log.info("nothing_to_move", room=move.room, session=session)

    async def _announce(self) -> None:
        await self.registry.renew()

    async def _elsewhere(self) -> bool:
        """Whether another worker takes sessions.

        Raises:
            ConnectionError: Redis does not answer.
        """
        try:
            view = await self._fleet.view()
        except (RedisError, OSError) as error:
            raise ConnectionError(str(error)) from error
        return any(view.takes(worker) for worker in view.workers if worker != self._settings.instance)

    async def drain(self) -> None:
        """Move everybody elsewhere within the deadline, end what is left, leave the registry.

        Until then the leases are renewed: a room's origin is here until another worker has it.
        """
        deadline_s = self._settings.drain_deadline_s
        self._stopping = True
        self.drainer.start("stopping")
        await self.registry.renew()
        await self.drainer.wait()
        try:
            async with asyncio.timeout(deadline_s):
                await end(self._registering)
                await self.registry.withdraw()
                await self.events.flush(deadline_s)
                await self.recordings.finish()
        except TimeoutError:
            log.warning("drain_deadline", deadline_s=deadline_s)

    def _open_intake(self) -> Intake | None:
        """What reads the socket in place of the event loop, where the plane may be native."""
        if self._settings.plane == "python":
            return None
        try:
            return NativeIntake()
        except NotBuiltError:
            # `_open_plane` says so.
            return None

    def _object_store(self, stack: AsyncExitStack) -> ObjectStore | None:
        """Where finished recordings go, if there is such a place."""
        settings = self._settings
        if not settings.s3_bucket:
            return None
        store = ObjectStore(
            settings.s3_bucket, endpoint=settings.s3_endpoint, region=settings.s3_region, prefix=settings.s3_prefix
        )
        stack.callback(store.close)
        return store

    def _open_plane(self, media_socket: MediaSocket) -> PacketPlane:
        """The plane that the settings ask for.

        Raises:
            NotBuiltError: they ask for the native one, which this machine does not have.
        """
        wanted = self._settings.plane
        if wanted != "python":
            try:
                native = NativePlane(media_socket, self.metrics)
            except NotBuiltError as error:
                if wanted == "native":
                    raise
                log.warning("no_native_plane", reason=str(error))
            else:
                log.info("packet_plane", plane="native", trains=native.uses_trains)
                return native
        log.info("packet_plane", plane="python")
        return PythonPlane(media_socket, self.metrics)

    def _task(self, stack: AsyncExitStack, work: Callable[[], Awaitable[None]], name: str) -> asyncio.Task[None]:
        task = keep(work, name, self._task_failed)
        stack.push_async_callback(end, task)
        return task

    def _task_failed(self, name: str) -> None:
        self.metrics.task_failures.labels(name).inc()

    def _on_loop_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Whatever nobody awaited: counted and logged, the process goes on."""
        self.metrics.loop_errors.inc()
        log.error("loop_error", message=context.get("message"), exc_info=context.get("exception"))


async def run(settings: Settings) -> None:
    """Run a worker until SIGTERM or SIGINT."""
    tracing.start(settings.otlp_url, service="sfu", instance=settings.instance)
    try:
        async with SfuWorker(settings) as worker:
            app = tracing.traced(worker.app)
            with exposed(settings.metrics_host, settings.metrics_port, worker.metrics.registry):
                await serve(app, host=settings.control_host, port=settings.control_port, drain=worker.drain)
    finally:
        tracing.stop()
