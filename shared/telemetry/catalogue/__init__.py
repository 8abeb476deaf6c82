"""Every metric of the project, by what exposes it. docs/metrics.md is made from here."""

from shared.telemetry.catalogue import cache, host, media, process, signaling, state, web
from shared.telemetry.metric import Metric

FUNCTIONS = (*web.ALL, *signaling.ALL, *state.ALL, *cache.ALL, *process.OURS)
"""What a function process measures itself."""

SFU = (*media.ALL, *process.OURS)
"""What an SFU worker measures itself."""

HOST = (*host.ALL, process.DRAINING)
"""What the agent of a host measures itself."""

INTERPRETER = process.INTERPRETER
"""What prometheus-client measures in both."""

SECTIONS: dict[str, tuple[Metric, ...]] = {
    "HTTP, tokens, workers": web.ALL,
    "Room sockets": signaling.ALL,
    "Room log, archive, Redis, MongoDB": state.ALL,
    "Cache": cache.ALL,
    "SFU workers": media.ALL,
    "Hosts of SFU workers": host.ALL,
    "Every process": process.OURS,
    "Every process, by prometheus-client": process.INTERPRETER,
}

EVERY: dict[str, Metric] = {metric.name: metric for section in SECTIONS.values() for metric in section}
"""All of them by name."""
