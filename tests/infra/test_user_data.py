"""What a host of the fleet is told at its first start: rendered as Terraform does it, and read as the host would."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from sfu_fleet.host.settings import PREFIX
from sfu_fleet.host.settings import Settings as HostSettings
from sfu_fleet.settings import Settings as WorkerSettings
from shared.settings import load, variables
from shared.stack.paths import ROOT
from tests.infra.terraform import Workspace

pytestmark = pytest.mark.timeout(300)

_MAIN = """
module "sfu_fleet" {
  source = "./modules/sfu-fleet"

  prefix                    = "test"
  network                   = { vpc_id = "vpc-1", public_subnet_ids = ["subnet-1"] }
  state                     = { client_security_group_id = "sg-1", secret = { arn = "arn:aws:x" } }
  control_security_group_id = "sg-2"
  image                     = { uri = "registry.example/sfu@sha256:00" }
  log_group_name            = "/test/sfu"
  busy_poll_us              = 50
  environment               = { HEADRACE_LOG_LEVEL = "warning" }
  collector = {
    image          = "registry.example/collector@sha256:00"
    repository_arn = "arn:aws:ecr:x"
    log_group_arn  = "arn:aws:logs:x"
    workspace_arn  = "arn:aws:aps:x"
    environment = {
      HEADRACE_NAMESPACE        = "test"
      AWS_REGION                = "xx-test-1"
      HEADRACE_REMOTE_WRITE_URL = "https://aps.example/"
    }
    configurations = [
      for name in ["sfu", "sfu-prometheus"] : file("${path.module}/../../../dashboards/collector/${name}.yaml")
    ]
  }
}

output "user_data" {
  value = module.sfu_fleet.user_data
}
"""


@pytest.fixture(scope="module")
def cloud_config(workspace: Workspace) -> dict[str, Any]:
    """The configuration of a host with two cores."""
    plan = workspace.example("user-data", _MAIN)
    text: str = plan["output_changes"]["user_data"]["after"]
    assert text.startswith("#cloud-config\n")
    assert len(text.encode()) < 16 * 1024, "EC2 takes 16 KiB"
    parsed: dict[str, Any] = yaml.safe_load(text)
    return parsed


def content(cloud_config: dict[str, Any], path: str) -> str:
    (file,) = [file for file in cloud_config["write_files"] if file["path"] == path]
    return str(file["content"])


def assignments(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {name.strip(): value.strip() for name, _, value in (line.partition("=") for line in lines)}


def test_the_agent_and_the_workers_understand_what_they_are_told(cloud_config: dict[str, Any]) -> None:
    told = assignments(content(cloud_config, "/etc/headrace/host.env"))
    host = load(HostSettings, told)
    assert (host.group, host.launch_hook, host.terminate_hook) == ("test-sfu", "test-sfu-ready", "test-sfu-drain")
    secret = {"REDIS_URL": "rediss://log", "HEADRACE_JWT_KEYS": "{}", "HEADRACE_INSTANCE": "w"}
    worker = load(WorkerSettings, told | secret)
    assert worker.plane == "native"
    assert worker.media_tcp is False
    assert worker.drain_deadline_s < host.drain_deadline_s
    # A misspelt variable would be ignored by both.
    known = variables(HostSettings) | variables(WorkerSettings)
    assert set(told) <= known
    assert {name for name in told if name.startswith(PREFIX)} <= variables(HostSettings)


def test_nothing_secret_is_in_user_data(cloud_config: dict[str, Any]) -> None:
    told = assignments(content(cloud_config, "/etc/headrace/host.env"))
    assert not {"REDIS_URL", "HEADRACE_JWT_KEYS"} & set(told)


def test_the_kernel_gets_room_for_bursts_and_keeps_off_the_workers_ports(cloud_config: dict[str, Any]) -> None:
    kernel = assignments(content(cloud_config, "/etc/sysctl.d/90-headrace.conf"))
    assert int(kernel["net.core.rmem_max"]) >= 16 << 20
    assert int(kernel["net.core.wmem_max"]) >= 16 << 20
    assert kernel["net.ipv4.ip_local_reserved_ports"] == "7900-7901,40000-40001"
    first, last = map(int, kernel["net.ipv4.ip_local_port_range"].split())
    assert first < last < 40_000
    assert kernel["net.core.busy_poll"] == "50"


def test_the_container_is_on_the_hosts_network_and_may_do_little(cloud_config: dict[str, Any]) -> None:
    unit = content(cloud_config, "/etc/systemd/system/headrace-sfu.service")
    for option in ("--network host", "--read-only", "--cap-drop ALL", "--ulimit nofile=1048576:1048576"):
        assert option in unit
    assert "python -m sfu_fleet.host" in unit


def test_the_collector_is_told_where_every_workers_metrics_are_and_all_that_it_asks_for(
    cloud_config: dict[str, Any],
) -> None:
    told = assignments(content(cloud_config, "/etc/headrace/collector.env"))
    first = load(HostSettings, assignments(content(cloud_config, "/etc/headrace/host.env"))).metrics_port
    assert json.loads(told["HEADRACE_METRICS_TARGETS"]) == [f"127.0.0.1:{first + worker}" for worker in range(2)]
    unit = content(cloud_config, "/etc/systemd/system/headrace-collector.service")
    asked: set[str] = set()
    for number, name in enumerate(("sfu", "sfu-prometheus")):
        text = content(cloud_config, f"/etc/headrace/collector/{number}.yaml")
        assert yaml.safe_load(text) == yaml.safe_load((ROOT / "dashboards" / "collector" / f"{name}.yaml").read_text())
        assert f"--config=file:/etc/headrace/collector/{number}.yaml" in unit
        asked |= set(re.findall(r"\$\{env:(\w+)\}", text))
    assert asked == {*told, *re.findall(r"--env (\w+)=", unit)}


def test_a_stop_leaves_the_agent_time_to_drain(cloud_config: dict[str, Any]) -> None:
    drain = load(HostSettings, assignments(content(cloud_config, "/etc/headrace/host.env"))).drain_deadline_s
    unit = content(cloud_config, "/etc/systemd/system/headrace-sfu.service")
    (docker,) = re.findall(r"--stop-timeout (\d+)", unit)
    (systemd,) = re.findall(r"TimeoutStopSec=(\d+)", unit)
    assert drain < int(docker) < int(systemd)


def test_the_scripts_and_the_unit_are_well_formed(cloud_config: dict[str, Any], tmp_path: Path) -> None:
    subprocess.run(["sh", "-n"], input=content(cloud_config, "/etc/headrace/pull"), text=True, check=True)
    if not shutil.which("systemd-analyze"):
        return
    # Docker may not be on this machine: what is checked is the form.
    (tmp_path / "docker.service").write_text("[Service]\nExecStart=/bin/true\n")
    for name in ("headrace-sfu.service", "headrace-collector.service"):
        unit = tmp_path / name
        text = content(cloud_config, f"/etc/systemd/system/{name}")
        unit.write_text(text.replace("/usr/bin/docker", "/bin/true").replace("/etc/headrace/pull", "/bin/true"))
        environ = {**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
        done = subprocess.run(
            ["systemd-analyze", "verify", unit], env=environ, capture_output=True, text=True, check=False
        )
        assert f"{name}:" not in done.stderr, done.stderr


def test_the_collectors_command_is_one_that_a_shell_takes_apart_as_meant(
    cloud_config: dict[str, Any], tmp_path: Path
) -> None:
    unit = content(cloud_config, "/etc/systemd/system/headrace-collector.service").replace("\\\n", " ")
    (command,) = re.findall(r"^ExecStart=/bin/sh -c '(.*)'$", unit, re.MULTILINE)
    (tmp_path / "docker").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "docker").chmod(0o755)
    (tmp_path / "id").write_text("i-0123")
    command = command.replace("/usr/bin/docker", f"{tmp_path}/docker")
    command = command.replace("/var/lib/cloud/data/instance-id", f"{tmp_path}/id")
    words = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True).stdout.splitlines()
    assert "HEADRACE_PROCESS=i-0123" in words
    image = words.index("registry.example/collector@sha256:00")
    assert all(word.startswith("--config=file:") for word in words[image + 1 :])
    assert words[image + 1 :]
