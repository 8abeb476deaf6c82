"""What a host of the fleet is told at its first start: rendered as Terraform does it, and read as the host would."""

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


def test_a_stop_leaves_the_agent_time_to_drain(cloud_config: dict[str, Any]) -> None:
    drain = load(HostSettings, assignments(content(cloud_config, "/etc/headrace/host.env"))).drain_deadline_s
    unit = content(cloud_config, "/etc/systemd/system/headrace-sfu.service")
    (docker,) = re.findall(r"--stop-timeout (\d+)", unit)
    (systemd,) = re.findall(r"TimeoutStopSec=(\d+)", unit)
    assert drain < int(docker) < int(systemd)


def test_the_scripts_and_the_unit_are_well_formed(cloud_config: dict[str, Any], tmp_path: Path) -> None:
    subprocess.run(["sh", "-n"], input=content(cloud_config, "/etc/headrace/pull"), text=True, check=True)
    if shutil.which("systemd-analyze"):
        unit = tmp_path / "headrace-sfu.service"
        text = content(cloud_config, "/etc/systemd/system/headrace-sfu.service")
        # Docker may not be on this machine: what is checked is the form.
        (tmp_path / "docker.service").write_text("[Service]\nExecStart=/bin/true\n")
        unit.write_text(text.replace("/usr/bin/docker", "/bin/true").replace("/etc/headrace/pull", "/bin/true"))
        environ = {**os.environ, "SYSTEMD_UNIT_PATH": f"{tmp_path}:"}
        done = subprocess.run(
            ["systemd-analyze", "verify", unit], env=environ, capture_output=True, text=True, check=False
        )
        assert "headrace-sfu.service:" not in done.stderr, done.stderr
