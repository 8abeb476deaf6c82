"""The second door for sockets: the same connections as on the API's port, accepted by picows on a port of their own.

Granian hands every frame to a thread of its runtime; with a thousand sockets that costs more than everything else. Here
the event loop writes to the kernel itself. The cloud load balancer sends the one path there; see
`docs/decisions/2026-11-22-socket-server.md` for the figures.
"""

import asyncio
import logging
import re
from typing import Any, Final

from picows import WSListener, WSUpgradeRequest, WSUpgradeResponse, WSUpgradeResponseWithListener, ws_create_server
from structlog import get_logger

from functions.context import Context
from functions.signaling.connection import serve_socket
from functions.signaling.picows_socket import MAX_MESSAGE_BYTES, PicowsSocket
from shared.protocol.codec import Codec, negotiate
from shared.state.directory import parse_room_id
from shared.tasks import end

# Two ordinary messages; it grows with the largest one that a socket sends.
READ_BUFFER_BYTES: Final = 2048
HANDSHAKE_TIMEOUT_S: Final = 5.0
BACKLOG: Final = 4096

_PATH: Final = re.compile(rb"/v1/rooms/([^/?]{1,64})/socket(?:\?.*)?")

log = get_logger(__name__)


class SocketServer:
    """Accepts sockets on (host, port) between `start` and `stop`."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            OSError: the address cannot be bound.
        """
        quiet = logging.getLogger("picows")
        quiet.setLevel(logging.ERROR)
        self._server = await ws_create_server(
            self._accept,
            host,
            port,
            # An adapter, since picows makes a logger of its own for each connection of a plain one.
            logger_name=logging.LoggerAdapter(quiet, {}),
            websocket_handshake_timeout=HANDSHAKE_TIMEOUT_S,
            max_frame_size=MAX_MESSAGE_BYTES,
            read_buffer_init_size=READ_BUFFER_BYTES,
            backlog=BACKLOG,
            use_aiofastnet=False,
        )
        log.info("listening_for_sockets", host=host, port=port)

    async def stop(self) -> None:
        """Accept no more, and end what is still open."""
        if self._server is not None:
            self._server.close()
        await end(*self._connections)

    def _accept(self, request: WSUpgradeRequest) -> Any:  # noqa: ANN401 - one of picows' three answers
        path = _PATH.fullmatch(request.path)
        room = parse_room_id(path[1].decode("latin-1")) if path else None
        offered = ",".join(request.headers.getall("Sec-WebSocket-Protocol", []))
        codec = negotiate([name.strip() for name in offered.split(",")])
        if room is None or codec is None:
            # As on the other port, where an application can refuse a handshake in no other way.
            return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(403), None)
        response = WSUpgradeResponse.create_101_response(extra_headers={"Sec-WebSocket-Protocol": codec.subprotocol})
        return WSUpgradeResponseWithListener(response, self._listener(room, codec))

    def _listener(self, room: str, codec: Codec) -> WSListener:
        def on_open(socket: PicowsSocket) -> None:
            forwarded = socket.header("X-Forwarded-For")
            serving = serve_socket(self._context, room, codec, socket, peer=socket.peer, forwarded=forwarded)
            task = asyncio.get_running_loop().create_task(serving)
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

        return PicowsSocket(on_open)
