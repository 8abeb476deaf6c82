"""Prometheus beside a running stack: its configuration, with the project's rules, and how it is started."""

import json
import shutil
from pathlib import Path
from typing import Final

from . import paths, probe, targets
from .errors import PrerequisitesMissing
from .supervisor import ChildSpec

RULES: Final = paths.ROOT / "dashboards" / "alerts" / "rules.yml"
_KEPT: Final = "12h"


def spec(data: Path, port: int, *, interval_s: int = 5) -> ChildSpec:
    """Prometheus on a loopback port, scraping the stack of that data folder every `interval_s`.

    Raises:
        PrerequisitesMissing: it is not installed.
    """
    folder = targets.path(data).resolve().parent
    arguments = {
        "config.file": _write_config(folder, targets.path(data).resolve(), interval_s),
        "storage.tsdb.path": folder / "series",
        "storage.tsdb.retention.time": _KEPT,
        "web.listen-address": f"127.0.0.1:{port}",
        "log.level": "warn",
    }

    async def ready() -> bool:
        return await probe.http_ok(port, "/-/ready")

    argv = (program("prometheus"), *(f"--{name}={value}" for name, value in arguments.items()))
    return ChildSpec(name="prometheus", argv=argv, ready=ready, environ={})


def program(name: str) -> str:
    """The path of a program of the package: prometheus or promtool.

    Raises:
        PrerequisitesMissing: it is not installed.
    """
    found = shutil.which(name)
    if found is None:
        raise PrerequisitesMissing("✗ no Prometheus: apt-get install prometheus")
    return found


def _write_config(folder: Path, found: Path, interval_s: int) -> Path:
    config = {
        "global": {"scrape_interval": f"{interval_s}s", "evaluation_interval": f"{interval_s}s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {
                "job_name": "headrace",
                "scrape_timeout": f"{interval_s}s",
                "file_sd_configs": [{"files": [str(found)], "refresh_interval": "5s"}],
            }
        ],
    }
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "prometheus.yml"
    # JSON is YAML.
    file.write_text(json.dumps(config, indent=2), encoding="utf-8")
    return file
