"""What the agent of a host reads from its environment. Every other variable is handed on to the workers."""

from typing import Annotated

import msgspec

from shared.settings import setting
from shared.telemetry.logs import LogFormat, LogLevel

PREFIX = "HEADRACE_HOST_"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One host's configuration; every field names its variable."""

    workers: Annotated[int, setting("HEADRACE_HOST_WORKERS", "number of workers; 0 is one per core", ge=0, le=512)] = 0
    media_port: Annotated[
        int, setting("HEADRACE_HOST_MEDIA_PORT", "media port of the first worker; each next one adds 1", ge=1, le=65000)
    ] = 40_000
    control_port: Annotated[
        int,
        setting("HEADRACE_HOST_CONTROL_PORT", "control port of the first worker; each next one adds 1", ge=1, le=65000),
    ] = 7900
    metrics_port: Annotated[
        int,
        setting(
            "HEADRACE_HOST_METRICS_PORT",
            "HEADRACE_METRICS_PORT of the first worker; each next one adds 1; 0: none",
            ge=0,
            le=65000,
        ),
    ] = 0
    agent_metrics_port: Annotated[
        int,
        setting(
            "HEADRACE_HOST_AGENT_METRICS_PORT",
            "port of the metrics of the host and its agent, on HEADRACE_METRICS_HOST; 0: none",
            ge=0,
            le=65535,
        ),
    ] = 0
    metrics_host: Annotated[
        str, setting("HEADRACE_METRICS_HOST", "address of the metrics' ports; whoever reaches it may read them")
    ] = "127.0.0.1"
    unresponsive_s: Annotated[
        float,
        setting(
            "HEADRACE_HOST_UNRESPONSIVE_S",
            "seconds after which a worker that was alive and does not answer any more is killed and started again; 0: "
            "never",
            ge=0,
        ),
    ] = 20.0
    pin: Annotated[bool, setting("HEADRACE_HOST_PIN", "whether each worker is kept on a core of its own")] = True
    drain_deadline_s: Annotated[
        float,
        setting("HEADRACE_HOST_DRAIN_DEADLINE_S", "seconds after which workers that still drain are killed", gt=0),
    ] = 90.0
    metadata_url: Annotated[
        str,
        setting(
            "HEADRACE_HOST_METADATA_URL",
            "instance metadata service (IMDSv2) that tells addresses and notices of the end, or none",
        ),
    ] = "http://169.254.169.254"
    poll_s: Annotated[
        float, setting("HEADRACE_HOST_POLL_S", "seconds between two questions whether the host must go", gt=0)
    ] = 5.0
    heartbeat_s: Annotated[
        float, setting("HEADRACE_HOST_HEARTBEAT_S", "seconds between two heartbeats while draining", gt=0)
    ] = 20.0
    region: Annotated[str, setting("AWS_REGION", "AWS region; needed with a group or a secret")] = ""
    group: Annotated[str, setting("HEADRACE_HOST_GROUP", "auto-scaling group whose lifecycle hooks are answered")] = ""
    launch_hook: Annotated[str, setting("HEADRACE_HOST_LAUNCH_HOOK", "hook that waits for ready workers")] = ""
    terminate_hook: Annotated[
        str, setting("HEADRACE_HOST_TERMINATE_HOOK", "hook that waits until the workers have drained")
    ] = ""
    secret: Annotated[
        str,
        setting("HEADRACE_HOST_SECRET", "secret in Secrets Manager, a JSON object of further variables of the workers"),
    ] = ""
    log_format: Annotated[LogFormat, setting("HEADRACE_LOG_FORMAT", "json or console")] = "json"
    log_level: Annotated[LogLevel, setting("HEADRACE_LOG_LEVEL", "debug, info, warning or error")] = "info"
