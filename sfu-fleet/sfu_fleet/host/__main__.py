"""`python -m sfu_fleet.host`: the agent of one host, configured by its environment."""

import asyncio
import hashlib
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack

import msgspec
import uvloop
from structlog import get_logger

from sfu_fleet.host.aws import Aws, CloudError
from sfu_fleet.host.lifecycle import Lifecycle, Timing
from sfu_fleet.host.metadata import Identity, Metadata, MetadataError
from sfu_fleet.host.metrics import HostMetrics
from sfu_fleet.host.settings import PREFIX, Settings
from sfu_fleet.host.workers import Workers, WorkerSpec
from shared.settings import SettingsError, load
from shared.telemetry.exposition import exposed
from shared.telemetry.logs import configure_logging

log = get_logger(__name__)


def worker_specs(
    settings: Settings, identity: Identity, environ: Mapping[str, str], cores: list[int]
) -> list[WorkerSpec]:
    """The workers of this host: one per core unless the settings say another number, each with its own two ports."""
    count = settings.workers or len(cores)
    # An instance id is too long for the start of a session id; its end tells hosts of a fleet apart.
    name = "".join(letter for letter in identity.instance.lower() if letter.isalnum())[-12:]
    handed_on = {key: value for key, value in environ.items() if not key.startswith(PREFIX)}
    if identity.public:
        handed_on.setdefault("HEADRACE_SFU_ANNOUNCED_ADDRESSES", identity.public)
    if identity.zone:
        handed_on.setdefault("HEADRACE_ZONE", identity.zone)
    return [
        WorkerSpec(
            name=f"{name}{index:03d}",
            environ={
                **handed_on,
                "HEADRACE_INSTANCE": f"{name}{index:03d}",
                "HEADRACE_SFU_CONTROL_HOST": identity.private,
                "HEADRACE_SFU_CONTROL_PORT": str(settings.control_port + index),
                "HEADRACE_SFU_MEDIA_PORT": str(settings.media_port + index),
                **({"HEADRACE_METRICS_PORT": str(settings.metrics_port + index)} if settings.metrics_port else {}),
            },
            control_host=identity.private,
            control_port=settings.control_port + index,
            core=cores[index % len(cores)] if settings.pin else None,
        )
        for index in range(count)
    ]


async def run(settings: Settings, environ: Mapping[str, str]) -> None:
    """Discover, start, live, drain.

    Raises:
        MetadataError: the metadata service does not tell who we are.
        CloudError: the secret cannot be read.
    """
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        metadata = None
        identity = _without_cloud(environ)
        if settings.metadata_url != "none":
            metadata = await stack.enter_async_context(Metadata(settings.metadata_url))
            identity = await metadata.identity()
        log.info("host", **msgspec.structs.asdict(identity))
        aws = _aws(settings, identity.instance) if settings.group or settings.secret else None
        variables = await aws.variables(settings.secret) if aws and settings.secret else {}
        cores = sorted(os.sched_getaffinity(0))
        host_metrics = HostMetrics(len(cores))
        stack.enter_context(exposed(settings.metrics_host, settings.agent_metrics_port, host_metrics.registry))
        specs = worker_specs(settings, identity, {**environ, **variables}, cores)
        workers = Workers(specs, host_metrics, unresponsive_s=settings.unresponsive_s)
        _on_signals(stop, workers)
        lifecycle = Lifecycle(
            workers,
            Timing(settings.poll_s, settings.heartbeat_s, settings.drain_deadline_s),
            metadata=metadata,
            hooks=aws if settings.group else None,
            launch_hook=settings.launch_hook,
            terminate_hook=settings.terminate_hook,
        )
        await lifecycle.run(stop)


def _without_cloud(environ: Mapping[str, str]) -> Identity:
    name = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:12]
    return Identity(name, environ.get("HEADRACE_SFU_CONTROL_HOST") or "127.0.0.1", "")


def _aws(settings: Settings, instance: str) -> Aws:
    if not settings.region:
        raise SettingsError("AWS_REGION", "is required with HEADRACE_HOST_GROUP or HEADRACE_HOST_SECRET")
    return Aws(region=settings.region, group=settings.group, instance=instance)


def _on_signals(stop: asyncio.Event, workers: Workers) -> None:
    def on_signal(number: int) -> None:
        log.info("signal", signal=signal.Signals(number).name, again=stopping())
        if stopping():
            workers.kill()
        stop.set()

    stopping = stop.is_set
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)


def main() -> int:
    """Run the agent; the exit code is 0 after a drain, 2 for a wrong configuration, 1 when it cannot start."""
    try:
        settings = load(Settings)
        configure_logging(format=settings.log_format, level=settings.log_level, service="sfu-host")
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(run(settings, os.environ))
    except SettingsError as error:
        sys.stderr.write(f"sfu_fleet.host: {error}\n")
        return 2
    except (MetadataError, CloudError, OSError) as error:
        sys.stderr.write(f"sfu_fleet.host: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
