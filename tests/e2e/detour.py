"""Media of a page over paths that a test can narrow and cut: the page is told their ports instead of the workers'."""

import asyncio
from contextlib import AsyncExitStack
from typing import Self

from playwright.async_api import Page

from tests.support.narrow_path import NarrowPath

# TCP would be a way around.
_REWRITE = r"""
const original = RTCPeerConnection.prototype.setRemoteDescription;
RTCPeerConnection.prototype.setRemoteDescription = async function (description) {
  const lines = [];
  for (const line of description.sdp.split('\r\n')) {
    const found = /^(a=candidate:\S+ 1 udp \d+) (\S+) (\d+) (.*)$/.exec(line);
    if (found) lines.push(`${found[1]} 127.0.0.1 ${await window.__detour(found[2], Number(found[3]))} ${found[4]}`);
    else if (!line.startsWith('a=candidate:')) lines.push(line);
  }
  return original.call(this, {type: description.type, sdp: lines.join('\r\n')});
};
"""


class Detour:
    """An async context manager, to be entered before the page is loaded."""

    def __init__(self, page: Page, bitrate: int | None = None) -> None:
        self._page = page
        self._bitrate = bitrate
        self._exits = AsyncExitStack()
        self._paths: dict[tuple[str, int], asyncio.Task[NarrowPath]] = {}

    async def __aenter__(self) -> Self:
        await self._page.expose_function("__detour", self._port)
        await self._page.add_init_script(_REWRITE)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._exits.aclose()

    def narrow(self, bitrate: int | None) -> None:
        """Let so much through from now on, in bit/s; None is everything."""
        self._bitrate = bitrate
        for path in self._paths.values():
            path.result().bitrate = bitrate

    def cut(self) -> None:
        """Close the paths for the ports that the browser uses now."""
        for path in self._paths.values():
            path.result().cut()

    async def _port(self, address: str, port: int) -> int:
        worker = (address, port)
        if worker not in self._paths:
            opening = self._exits.enter_async_context(NarrowPath(worker, self._bitrate))
            self._paths[worker] = asyncio.create_task(opening)
        return (await self._paths[worker]).port
