"""`observe`: Prometheus on the stack that runs, until Ctrl-C."""

import asyncio
import fcntl
import os
import signal
import sys
import webbrowser
from pathlib import Path
from typing import Final

from . import prometheus, targets
from .errors import StackError
from .ledger import Ledger
from .ports import free_ports
from .supervisor import Supervisor

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def run(data: Path, port: int | None) -> None:
    """Start it, print its page's address, open it where there is a screen, wait for the end, stop it.

    Raises:
        StackError: no stack runs on the data folder, or Prometheus does not start.
    """
    _must_run(data)
    ended = asyncio.Event()
    for signum in _SIGNALS:
        asyncio.get_running_loop().add_signal_handler(signum, ended.set)
    ledger = Ledger(targets.path(data).parent / "processes.json")
    ledger.reap()
    supervisor = Supervisor(logs=data / "logs", ledger=ledger, report=print)
    port = port or free_ports(1)[0]
    try:
        await supervisor.start(prometheus.spec(data, port))
        print(f"Prometheus runs at http://127.0.0.1:{port}/  (Ctrl-C stops it; its data is kept)", flush=True)
        await asyncio.to_thread(open_page, f"http://127.0.0.1:{port}/")
        print("dashboards/grafana has dashboards to import into a Grafana with this address as its source", flush=True)
        waiting = asyncio.create_task(ended.wait())
        failing = asyncio.create_task(supervisor.failure())
        await asyncio.wait([waiting, failing], return_when=asyncio.FIRST_COMPLETED)
        failing.cancel()
        if not ended.is_set():
            waiting.cancel()
            raise failing.result()
    finally:
        await supervisor.close()


def open_page(url: str) -> None:
    """Show it to whoever sits in front of this machine, if somebody does."""
    # Without a screen it would be a text browser, in this very terminal.
    if sys.stdout.isatty() and (sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)):
        webbrowser.open(url)


def _must_run(data: Path) -> None:
    problem = f"no stack runs on {data}: start one with `python3 -m shared.stack up`, and then this beside it"
    try:
        lock = (data / "lock").open(encoding="utf-8")
    except OSError:
        raise StackError(problem) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return  # whose lock it is, runs
    raise StackError(problem)
