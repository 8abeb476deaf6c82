"""A small application under `shared.serving`, as a process: `python -m tests.support.serving_app PORT [START]`."""

import asyncio
import sys
from typing import Any

from shared.serving import serve

CHUNK = bytes(1_000_000)


async def app(scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
    if scope["type"] == "lifespan":
        await _live(receive, send)
        return
    if scope["path"] == "/never":
        await asyncio.Event().wait()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while scope["path"] == "/endless":
        await send({"type": "http.response.body", "body": CHUNK, "more_body": True})
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.body", "body": b"whole"})


async def _live(receive: Any, send: Any) -> None:  # noqa: ANN401 - ASGI
    await receive()
    if "fails" in sys.argv:
        raise ValueError("no database")
    await send({"type": "lifespan.startup.complete"})
    await receive()
    if "stays" in sys.argv:
        await asyncio.Event().wait()
    said("left")
    await send({"type": "lifespan.shutdown.complete"})


def said(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def drain() -> None:
    said("drained")


if __name__ == "__main__":
    asyncio.run(serve(app, host="127.0.0.1", port=int(sys.argv[1]), drain=drain, keep_alive_s=3600, finish_s=0.5))
