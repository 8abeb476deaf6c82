"""Janus from Debian's package, set up to forward one stream to many viewers as fast as it can.

VideoRoom plugin, one event loop, no recording, no transport-wide feedback, no events to others than those who ask. It
refuses loopback interfaces, so it needs an address of another one (`network.py`). It is a full ICE agent: in its lite
mode it answered our checks and never took the pair. It is spoken to over its WebSocket transport
(https://janus.conf.meetecho.com/docs/rest.html).
"""

import asyncio
import itertools
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Container
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, Final, Self

from websockets.asyncio.client import ClientConnection, connect

from shared.stack import debian
from shared.stack.ports import free_ports

from .viewers import Viewer
from .worker import Lag

PROGRAM: Final = "janus"
# Debian's package of it, and of `ip`.
PACKAGES: Final = ("janus", "iproute2")
METHOD: Final = "VideoRoom, event_loops = 1, all threads on the worker's core, NACK on, no bandwidth estimation"
_ROOM: Final = 1234
_ANSWER_S: Final = 20.0
_START_S: Final = 15.0
_LIBRARIES: Final = Path("/usr/lib")
_SETTINGS: Final = """
general: {{
    configs_folder = "{folder}"
    plugins_folder = "{libraries}/plugins"
    transports_folder = "{libraries}/transports"
    events_folder = "{libraries}/events"
    loggers_folder = "{libraries}/loggers"
    debug_level = 2
    session_timeout = 0
    event_loops = 1
    protected_folders = []
}}
media: {{ ipv6 = false, no_media_timer = 0, slowlink_threshold = 0, rtp_port_range = "20000-60000" }}
nat: {{ ignore_mdns = true, ice_enforce_list = "{address}" }}
plugins: {{ disable = "{other_plugins}" }}
transports: {{ disable = "{other_transports}" }}
"""
_ROOMS: Final = """
general: {{ events = false }}
room-{room}: {{
    publishers = {publishers}
    bitrate = 0
    fir_freq = 0
    audiocodec = "opus"
    videocodec = "vp8"
    opus_fec = false
    audiolevel_ext = false
    videoorient_ext = false
    playoutdelay_ext = false
    transport_wide_cc_ext = false
    record = false
    notify_joining = false
}}
"""
_WEBSOCKETS: Final = """
general: {{ ws = true, ws_ip = "127.0.0.1", ws_port = {port}, json = "compact" }}
admin: {{ admin_ws = false }}
"""


def install(log: Path) -> bool:
    """Install the packages if they are missing and that is ours to do; whether they are there."""
    programs = (PROGRAM, "ip")
    if not all(map(shutil.which, programs)) and debian.can_install():
        debian.install(list(PACKAGES), log=log)
    return all(map(shutil.which, programs))


def version() -> str:
    """What is installed, as its package says."""
    query = ["dpkg-query", "--show", "--showformat=${Version}", PROGRAM]
    found = subprocess.run(query, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "of unknown version"


class JanusError(Exception):
    """Janus refused something, or did not start."""


class Janus:
    """A running Janus and a session with it, one publisher's stream in its room."""

    keeps_alive = False
    joins_at_once = 32

    def __init__(self, pid: int, address: str, socket: ClientConnection) -> None:
        self.pids = (pid,)
        self._address = address
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._session = 0
        self._feed = 0
        self._handles: dict[Viewer, int] = {}

    @classmethod
    @asynccontextmanager
    async def running(cls, address: str, core: int) -> AsyncIterator[Self]:
        """Start it on one core, with one address for its candidates.

        Raises:
            JanusError: it did not start; with the end of what it said.
        """
        async with AsyncExitStack() as running:
            folder = Path(running.enter_context(tempfile.TemporaryDirectory(prefix="headrace-janus-")))
            (port,) = free_ports(1)
            _configure(folder, address, port)
            log = running.enter_context((folder / "log").open("wb"))
            command = ["taskset", "--cpu-list", str(core), PROGRAM, "--configs-folder", str(folder)]
            process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            running.push_async_callback(_stop, process)
            socket = await running.enter_async_context(await _connected(process, port, folder / "log"))
            janus = cls(process.pid, address, socket)
            reader = asyncio.create_task(janus._read())
            running.callback(reader.cancel)
            janus._session = (await janus._ask("create"))["data"]["id"]
            yield janus

    async def publish(self, peer: Viewer, room: int) -> None:
        """Connect the publisher."""
        assert room == 0
        handle = await self._attach(peer)
        await peer.bind(self._address)
        body = {"request": "joinandconfigure", "ptype": "publisher", "room": _ROOM, "audio": True, "video": True}
        offer = {"type": "offer", "sdp": peer.with_candidate(peer.publish_offer())}
        event = await self._ask("message", handle, body=body, jsep=offer)
        self._feed = event["plugindata"]["data"]["id"]
        await _connect(peer, event["jsep"]["sdp"])

    async def view(self, viewer: Viewer, room: int) -> None:
        """Connect a viewer."""
        assert room == 0
        handle = await self._attach(viewer)
        body: dict[str, Any] = {"request": "join", "ptype": "subscriber", "room": _ROOM}
        event = await self._ask("message", handle, body={**body, "streams": [{"feed": self._feed}]})
        offer = event["jsep"]["sdp"]
        # Whoever offers controls (RFC 8445, section 6.1.1).
        viewer.ice_role = "ICE-CONTROLLED"
        await viewer.bind(self._address)
        answer = {"type": "answer", "sdp": viewer.with_candidate(viewer.view_answer(offer))}
        await self._ask("message", handle, body={"request": "start", "room": _ROOM}, jsep=answer)
        await _connect(viewer, offer)

    async def leave(self, viewer: Viewer) -> None:
        """Disconnect a viewer."""
        await self._ask("detach", self._handles.pop(viewer))

    async def present(self) -> Container[Viewer]:
        """Whoever has a handle: Janus forgets nobody by itself."""
        return self._handles

    async def lag(self) -> Lag | None:
        """Janus does not say."""
        return None

    async def _attach(self, peer: Viewer) -> int:
        handle = int((await self._ask("attach", plugin="janus.plugin.videoroom"))["data"]["id"])
        self._handles[peer] = handle
        return handle

    async def _ask(self, kind: str, handle: int | None = None, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
        """Send a request; its answer, or for a message to a plugin the event that answers it."""
        transaction = str(next(self._numbers))
        request = {"janus": kind, "transaction": transaction, **more}
        if self._session:
            request["session_id"] = self._session
        if handle is not None:
            request["handle_id"] = handle
        answer = self._waiting[transaction] = asyncio.get_running_loop().create_future()
        await self._socket.send(json.dumps(request))
        async with asyncio.timeout(_ANSWER_S):
            found: dict[str, Any] = await answer
        return found

    async def _read(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            waiting = self._waiting.get(message.get("transaction", ""))
            # A message to a plugin is acknowledged first.
            if waiting is None or waiting.done() or message["janus"] == "ack":
                continue
            del self._waiting[message["transaction"]]
            error = message.get("error") or message.get("plugindata", {}).get("data", {}).get("error")
            if error:
                waiting.set_exception(JanusError(str(error)))
            else:
                waiting.set_result(message)


def _configure(folder: Path, address: str, port: int) -> None:
    libraries = next(_LIBRARIES.glob("*/janus"))
    plugins = {path.name for path in (libraries / "plugins").glob("*.so")} - {"libjanus_videoroom.so"}
    transports = {path.name for path in (libraries / "transports").glob("*.so")} - {"libjanus_websockets.so"}
    settings = _SETTINGS.format(
        folder=folder,
        libraries=libraries,
        address=address,
        other_plugins=",".join(sorted(plugins)),
        other_transports=",".join(sorted(transports)),
    )
    (folder / "janus.jcfg").write_text(settings)
    (folder / "janus.plugin.videoroom.jcfg").write_text(_ROOMS.format(room=_ROOM, publishers=1))
    (folder / "janus.transport.websockets.jcfg").write_text(_WEBSOCKETS.format(port=port))


async def _connected(process: asyncio.subprocess.Process, port: int, log: Path) -> ClientConnection:
    deadline = asyncio.get_running_loop().time() + _START_S
    while True:
        try:
            return await connect(f"ws://127.0.0.1:{port}", subprotocols=["janus-protocol"], proxy=None)  # type: ignore[list-item]
        except OSError:
            if process.returncode is not None or asyncio.get_running_loop().time() > deadline:
                raise JanusError(f"Janus did not start: {await asyncio.to_thread(log.read_text)}") from None
            await asyncio.sleep(0.1)


async def _connect(peer: Viewer, description: str) -> None:
    """We are the DTLS client of whoever lets us choose, and Janus always does (RFC 5763, section 5)."""
    await peer.connect(description, client="a=setup:active" not in description)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        async with asyncio.timeout(10):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
