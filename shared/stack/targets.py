"""Where a running stack is to be scraped: a file that Prometheus reads again when it changes.

The format is that of its `file_sd_configs`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from .endpoint import Endpoint


def path(data: Path) -> Path:
    """Where the file is."""
    return data / "prometheus" / "targets.json"


def write(data: Path, jobs: Mapping[str, Sequence[Endpoint]]) -> None:
    """Write the metrics' addresses of every process, by job."""
    groups = [
        {
            "targets": [f"127.0.0.1:{endpoint.metrics_port}"],
            "labels": {"job": job, "instance": endpoint.name},
        }
        for job, endpoints in jobs.items()
        for endpoint in endpoints
    ]
    file = path(data)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(groups, indent=2), encoding="utf-8")
