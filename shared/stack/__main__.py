"""`python3 -m shared.stack up | demo | observe | test`: what a newcomer types, on whatever Python there is."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - the one line that an older Python can still read and print
    sys.exit("x Python %d.%d is too old: install Python 3.11 or newer and use that" % sys.version_info[:2])  # noqa: UP031

import argparse
import importlib
import io
import os
from pathlib import Path
from typing import Any

from . import bootstrap, client, node, paths, prerequisites
from .errors import StackError
from .progress import Progress


def main() -> int:
    """Parse, prepare, run. Returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has no "✓" must not end the command
    progress = Progress()
    arguments, rest = _parser().parse_known_args()
    try:
        if arguments.command == "test":
            return _test(rest, progress)
        if rest:
            _parser().error(f"unknown arguments: {' '.join(rest)}")
        if arguments.command == "observe":
            return _observe(arguments, progress)
        return _run(arguments, progress)
    except StackError as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
    return 1


def _run(arguments: argparse.Namespace, progress: Progress) -> int:
    data: Path = arguments.data
    logs = data / "logs"
    with_haproxy = arguments.balancer == "haproxy"
    needs = prerequisites.Needs.of_services(data, os.environ, arguments.port, haproxy=with_haproxy)
    prerequisites.ensure(needs, progress)
    bootstrap.ensure(bootstrap.RUN_REQUIREMENTS, progress=progress, logs=logs)
    _build_client(progress, logs)
    command = "up" if arguments.command == "up" else "show_demo"
    parts = {name: getattr(arguments, name) for name in ("functions", "workers", "port", "balancer")}
    return int(getattr(_inside(), command)(data, parts, progress=progress))


def _observe(arguments: argparse.Namespace, progress: Progress) -> int:
    data: Path = arguments.data
    needs = prerequisites.Needs(data=data, port=arguments.port, mongod=False, prometheus=True)
    prerequisites.ensure(needs, progress)
    bootstrap.ensure(bootstrap.RUN_REQUIREMENTS, progress=progress, logs=data / "logs")
    return int(_inside().observe_stack(data, port=arguments.port))


def _test(rest: list[str], progress: Progress) -> int:
    logs = paths.DATA / "logs"
    # The tests start their own servers, on ports of their own.
    with_browser = not any("not e2e" in argument for argument in rest)
    needs = prerequisites.Needs(data=paths.DATA, chromium=with_browser, compiler=True, observing=True, faults=True)
    prerequisites.ensure(needs, progress)
    bootstrap.ensure(bootstrap.DEV_REQUIREMENTS, progress=progress, logs=logs)
    return int(_inside().test(_build_client(progress, logs), rest))


def _build_client(progress: Progress, logs: Path) -> node.Node:
    found = node.ensure(progress=progress, logs=logs)
    client.ensure_packages(found, progress=progress, logs=logs)
    client.ensure_built(found, progress=progress, logs=logs)
    return found


def _inside() -> Any:  # noqa: ANN401 - a module
    # Not at the top: until `bootstrap.ensure` has returned, what this imports is not installed.
    return importlib.import_module(".inside", __package__)


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65_536:
        raise argparse.ArgumentTypeError("a port is a number from 1 to 65535")
    return port


def _count(text: str) -> int:
    count = int(text)
    if not 1 <= count <= 64:
        raise argparse.ArgumentTypeError("a number from 1 to 64")
    return count


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python3 -m shared.stack", description="Headrace on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("up", "install what is needed, start everything, print the address"),
        ("demo", "the same, with a film published in a loop by a real encoder"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--port", type=_port, help="public port (default: 8080 or the next free one)")
        command.add_argument("--functions", type=_count, default=2, help="function processes (default: 2)")
        command.add_argument("--workers", type=_count, default=2, help="SFU workers (default: 2)")
        choice = "what stands in front: our own small balancer (default), or HAProxy with the cloud's time-outs"
        command.add_argument("--balancer", choices=("own", "haproxy"), default="own", help=choice)
        command.add_argument("--data", type=Path, default=paths.DATA, help="data folder (default: .headrace)")
    text = "start Prometheus, with the project's alerts, on the stack that runs"
    command = commands.add_parser("observe", help=text, description=text)
    command.add_argument("--port", type=_port, help="port of its page (default: any free one)")
    command.add_argument("--data", type=Path, default=paths.DATA, help="data folder of the stack (default: .headrace)")
    text = "run all checks and tests; further arguments go to pytest"
    # pytest has its own --help and -h, so this one takes none.
    commands.add_parser("test", help=text, description=text, add_help=False)
    return parser


if __name__ == "__main__":
    sys.exit(main())
