"""`task fleet`: look at a fleet, and operate it, from a terminal. It speaks to the fleet's API, here or anywhere."""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any, Final

import httpx
import msgspec
from rich.console import Console
from rich.live import Live

from shared.security.keys import KeyRing
from shared.security.operators import sign_operator
from shared.security.tokens import TokenError, Tokens

from . import fleet_view, paths
from .fleet_view import Room, Worker

TOKEN: Final = "HEADRACE_FLEET_TOKEN"  # noqa: S105 - the name of a variable
_OWN_TOKEN_S: Final = 12 * 3600
_PAGE: Final = 1_000


class FleetError(Exception):
    """The API did not do what was asked; the message is for whoever asked."""


class FleetApi:
    """The fleet's API, as one operator."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        headers = {"authorization": f"Bearer {token}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=5.0, trust_env=False)

    def workers(self) -> list[Worker]:
        """All workers."""
        return msgspec.json.decode(self.call("GET", "workers"), type=list[Worker])

    def rooms(self) -> list[Room]:
        """All rooms."""
        rooms: list[Room] = []
        while True:
            after = rooms[-1].room if rooms else ""
            page = msgspec.json.decode(
                self.call("GET", "rooms", params={"limit": _PAGE, "after": after}), type=list[Room]
            )
            rooms += page
            if len(page) < _PAGE:
                return rooms

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, **named: Any) -> bytes:  # noqa: ANN401 - httpx's
        """One request; the answer's body.

        Raises:
            FleetError: it was refused, or not answered.
        """
        try:
            response = self._http.request(method, f"/v1/fleet/{path}", json=body, **named)
        except httpx.HTTPError as error:
            raise FleetError(f"{self.url} does not answer ({type(error).__name__})") from None
        if response.is_success:
            return response.content
        raise FleetError(_refusal(response))

    def close(self) -> None:
        """Close the connection."""
        self._http.close()


def main(arguments: list[str] | None = None) -> int:
    """Parse and run; the exit code is 1 where the API refuses, 2 without a token."""
    options = _parser().parse_args(arguments)
    try:
        token = os.environ.get(TOKEN) or _own_token(options.keys)
    except (OSError, ValueError, TokenError) as error:
        sys.stderr.write(f"fleet: no token: set {TOKEN}, or give the key set of the stack with --keys ({error})\n")
        return 2
    api = FleetApi(options.url, token)
    try:
        _run(api, options, Console())
    except FleetError as error:
        sys.stderr.write(f"fleet: {error}\n")
        return 1
    except KeyboardInterrupt:
        pass
    finally:
        api.close()
    return 0


def _run(api: FleetApi, options: argparse.Namespace, console: Console) -> None:
    match options.command:
        case "drain":
            api.call("PUT", f"workers/{options.worker}/drain", {"reason": options.reason})
        case "undrain":
            api.call("DELETE", f"workers/{options.worker}/drain")
        case "move":
            # The id of a session has a hyphen in it, that of a room has none.
            kind = "sessions" if "-" in options.what else "rooms"
            api.call("POST", f"{kind}/{options.what}/move", {"to": options.to} if options.to else {})
        case "explain":
            console.print_json(json.dumps(json.loads(api.call("GET", f"sessions/{options.session}"))))
        case _:
            _watch(api, options, console)


def _watch(api: FleetApi, options: argparse.Namespace, console: Console) -> None:
    if options.once:
        console.print(_view(api, console))
        return
    with Live(_view(api, console), console=console, screen=console.is_terminal, auto_refresh=False) as live:
        while True:
            time.sleep(options.every)
            try:
                live.update(_view(api, console), refresh=True)
            except FleetError as error:
                # A deployment that is being rolled, most likely: what was seen last stays.
                console.log(str(error))


def _view(api: FleetApi, console: Console) -> Any:  # noqa: ANN401 - whatever rich can print
    return fleet_view.rendered(api.workers(), api.rooms(), at=time.strftime("%H:%M:%S"), lines=console.height)


def _own_token(keys: Path) -> str:
    name = os.environ.get("USER") or "operator"
    return sign_operator(Tokens(KeyRing.from_jwks(keys.read_text(encoding="utf-8"))), name, _OWN_TOKEN_S)


def _refusal(response: httpx.Response) -> str:
    try:
        problem = response.json()
        return f"{problem['title']}: {problem['detail']} ({problem['code']})"
    except (ValueError, KeyError, TypeError):
        return f"status {response.status_code}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="task fleet --", description="Look at a fleet of SFU workers, and operate it."
    )
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="of the platform (default: the local stack's)")
    text = f"key set to make a token with, where {TOKEN} is not set (default: the local stack's)"
    parser.add_argument("--keys", type=Path, default=paths.DATA / "keys.json", help=text)
    parser.add_argument("--once", action="store_true", help="print the view once instead of refreshing it")
    parser.add_argument("--every", type=float, default=1.0, metavar="S", help="seconds between two looks (default: 1)")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", help="default: the view")
    drain = commands.add_parser("drain", help="have a worker drain")
    drain.add_argument("worker")
    drain.add_argument("--reason", default="", help="for whoever looks at it later")
    commands.add_parser("undrain", help="take that back").add_argument("worker")
    move = commands.add_parser("move", help="move a room's stream, or a viewer's session")
    move.add_argument("what", help="room or session")
    move.add_argument("--to", default="", help="worker (default: placement chooses)")
    commands.add_parser("explain", help="why a viewer is where they are").add_argument("session")
    return parser


if __name__ == "__main__":
    sys.exit(main())
