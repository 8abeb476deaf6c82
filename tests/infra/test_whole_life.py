"""A real apply, an empty second plan, a scale change and a destroy, by the real provider, against moto's AWS server.

moto imitates the AWS API on loopback. What it cannot imitate is in `imitation/`, by module: files that stand in the
place of ours, and overrides of attributes that it does not give back. Every other resource of the environment is made,
read, changed and deleted through the API.

The provider waits for most of the time, so this begins with the first test of the folder, in the background, and the
tests here, the last of the folder, are given what came of it.
"""

import base64
import json
import logging
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import boto3  # type: ignore[import-untyped]
import httpx
import moto.settings
import pytest
from moto.server import ThreadedMotoServer

from sfu_fleet.host.settings import Settings as HostSettings
from shared.security.keys import generate_jwks
from shared.settings import load
from tests.infra.conftest import cannot
from tests.infra.terraform import Unavailable, Workspace

pytestmark = pytest.mark.timeout(1800)

REGION = "eu-central-1"
IMAGES = {"functions": "0.1.0", "sfu": "0.1.0", "collector": "v0.49.0"}
IMITATION = Path(__file__).with_name("imitation")
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


class Cloud:
    """An environment on an imitation of AWS."""

    def __init__(self, workspace: Workspace, url: str) -> None:
        self._workspace = workspace
        self._url = url
        self.folder = workspace.root / "environments" / "dev"
        zone = self.client("route53").create_hosted_zone(Name="example.org", CallerReference="test")
        values = {
            "region": REGION,
            "domain": {"name": "live.example.org", "zone_id": zone["HostedZone"]["Id"].rpartition("/")[2]},
            "images": IMAGES,
            "jwt_keys": generate_jwks(),
        }
        (self.folder / "test.auto.tfvars.json").write_text(json.dumps(values), encoding="utf-8")

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes its classes at run time
        return boto3.client(
            service,
            region_name=REGION,
            endpoint_url=self._url,
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )

    def apply(self, **values: object) -> str:
        return self._run("apply", "-auto-approve", *_variables(values)).stdout

    def plan(self, **values: object) -> int:
        """The exit code: 0 when there is nothing to do, 2 when there is."""
        done = self._run("plan", "-detailed-exitcode", *_variables(values), check=False)
        assert done.returncode in {0, 2}, done.stderr[-4000:]
        if done.returncode == 2:
            sys.stdout.write(done.stdout[-8000:])
        return done.returncode

    def destroy(self) -> None:
        self._run("destroy", "-auto-approve")

    def resources(self) -> list[dict[str, Any]]:
        """What Terraform says there is."""
        state = json.loads(self._run("show", "-json").stdout)["values"]["root_module"]
        return [resource for module in state["child_modules"] for resource in module["resources"]]

    def _run(self, command: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self._workspace.run(self.folder, command, *arguments, check=check)


def _variables(values: dict[str, object]) -> list[str]:
    return [f"-var={name}={json.dumps(value)}" for name, value in values.items()]


@contextmanager
def imitated_cloud(folder: Path) -> Iterator[Cloud]:
    """An imitation of AWS with nothing in it.

    Raises:
        Unavailable: Terraform or the provider is not here.
    """
    # Certificates are valid at once and not after a minute.
    with mock.patch.object(moto.settings, "ACM_VALIDATION_WAIT", 0), _served() as url:
        # What fails is not tried for a quarter of an hour: a call that moto does not know stays unknown.
        environ = {**CREDENTIALS, "AWS_ENDPOINT_URL": url, "AWS_MAX_ATTEMPTS": "3"}
        workspace = Workspace(folder, environ=environ)
        for module in IMITATION.iterdir():
            for file in module.iterdir():
                (workspace.root / "modules" / module.name / file.name).write_bytes(file.read_bytes())
        cloud = Cloud(workspace, url)
        workspace.init(cloud.folder)
        yield cloud


@contextmanager
def _served() -> Iterator[str]:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # else a thousand lines of requests with every failure
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    # What it has is the process's: another test may have used it.
    httpx.post(f"{url}/moto-api/reset").raise_for_status()
    try:
        yield url
    finally:
        server.stop()


def test_the_platform_is_applied_changed_and_destroyed(whole_life: Future[None]) -> None:
    try:
        whole_life.result()
    except Unavailable as error:
        cannot(str(error))


def live(folder: Path) -> None:
    """An environment from its first apply to its destroy."""
    with imitated_cloud(folder) as cloud:
        _live(cloud)


def _live(cloud: Cloud) -> None:
    made = int(_found(r"Resources: (\d+) added, 0 changed, 0 destroyed", cloud.apply()))
    assert made > 80
    assert cloud.plan() == 0

    _looks_as_planned(cloud)

    larger = {
        "hosts": {"least": 2, "most": 4},
        "tasks": {
            "api": {"least": 2, "most": 10},
            "signaling": {"least": 3, "most": 20},
            "web": {"least": 1, "most": 4},
        },
    }
    _found(r"Resources: 0 added, \d+ changed, 0 destroyed", cloud.apply(**larger))
    (group,) = cloud.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    assert (group["MinSize"], group["MaxSize"]) == (2, 4)

    # Another function image is another task definition, and the services go over to it.
    newer = {**larger, "images": {**IMAGES, "functions": "0.2.0"}}
    cloud.apply(**newer)
    assert set(_images(cloud)) == {"0.2.0", "v0.49.0"}
    assert cloud.plan(**newer) == 0

    # Another SFU image is planned only: moto has no instance refresh.
    assert cloud.plan(**newer | {"images": {**IMAGES, "functions": "0.2.0", "sfu": "0.2.0"}}) == 2

    cloud.destroy()
    assert _left(cloud) == []


def _looks_as_planned(cloud: Cloud) -> None:
    """What the API says, not what Terraform believes."""
    balancers = cloud.client("elbv2")
    (balancer,) = balancers.describe_load_balancers()["LoadBalancers"]
    pairs = balancers.describe_load_balancer_attributes(LoadBalancerArn=balancer["LoadBalancerArn"])["Attributes"]
    assert int({pair["Key"]: pair["Value"] for pair in pairs}["idle_timeout.timeout_seconds"]) >= 300
    hooks = cloud.client("autoscaling").describe_lifecycle_hooks(AutoScalingGroupName="headrace-dev-sfu")[
        "LifecycleHooks"
    ]
    (timeout,) = [
        hook["HeartbeatTimeout"]
        for hook in hooks
        if hook["LifecycleTransition"] == "autoscaling:EC2_INSTANCE_TERMINATING"
    ]
    (template,) = [resource for resource in cloud.resources() if resource["type"] == "aws_launch_template"]
    user_data = base64.b64decode(template["values"]["user_data"]).decode()
    told = dict(re.findall(r"^ +((?:HEADRACE|AWS)_\w+)=(.+)$", user_data, re.MULTILINE))
    host = load(HostSettings, told)
    assert float(told["HEADRACE_SFU_DRAIN_DEADLINE_S"]) < host.drain_deadline_s < timeout
    # Each reader's secret is there and is an object of strings.
    secrets = cloud.client("secretsmanager")
    read = {
        name: json.loads(secrets.get_secret_value(SecretId=f"headrace-dev/{name}")["SecretString"])
        for name in ("functions", "sfu")
    }
    assert set(read["functions"]) == {"REDIS_URL", "HEADRACE_CACHE_URL", "MONGODB_URI", "HEADRACE_JWT_KEYS"}
    assert set(read["sfu"]) == {"REDIS_URL", "HEADRACE_JWT_KEYS"}
    assert '"d"' not in read["sfu"]["HEADRACE_JWT_KEYS"]


def _left(cloud: Cloud) -> list[str]:
    """What a destroy should have taken and did not."""
    ec2 = cloud.client("ec2")
    return [
        *(vpc["VpcId"] for vpc in ec2.describe_vpcs()["Vpcs"] if not vpc["IsDefault"]),
        *(template["LaunchTemplateName"] for template in ec2.describe_launch_templates()["LaunchTemplates"]),
        *(
            balancer["LoadBalancerName"]
            for balancer in cloud.client("elbv2").describe_load_balancers()["LoadBalancers"]
        ),
        *(repository["repositoryName"] for repository in cloud.client("ecr").describe_repositories()["repositories"]),
        *(secret["Name"] for secret in cloud.client("secretsmanager").list_secrets()["SecretList"]),
        *(role["RoleName"] for role in cloud.client("iam").list_roles()["Roles"] if "headrace" in role["RoleName"]),
        *(group["logGroupName"] for group in cloud.client("logs").describe_log_groups()["logGroups"]),
        *(group["AutoScalingGroupName"] for group in _groups(cloud)),
        *(topic["TopicArn"] for topic in cloud.client("sns").list_topics()["Topics"]),
    ]


def _images(cloud: Cloud) -> list[str]:
    """Tags of the images of all services, as ECS has them."""
    ecs = cloud.client("ecs")
    services = ecs.describe_services(cluster="headrace-dev-functions", services=["api", "signaling", "web"])["services"]
    definitions = [ecs.describe_task_definition(taskDefinition=service["taskDefinition"]) for service in services]
    return [
        container["image"].rpartition(":")[2]
        for definition in definitions
        for container in definition["taskDefinition"]["containerDefinitions"]
    ]


def _groups(cloud: Cloud) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = cloud.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"]
    return found


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    assert match, text[-3000:]
    return match[match.lastindex or 0]
