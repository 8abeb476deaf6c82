"""The calls that need credentials: the secret from moto's Secrets Manager, lifecycle actions against a fake."""

import json

import boto3  # type: ignore[import-untyped]
import pytest
from moto import mock_aws

from sfu_fleet.host.aws import Aws, CloudError
from tests.sfu_fleet.host.fake_cloud import INSTANCE, FakeCloud

REGION = "eu-central-1"


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


async def test_the_secret_is_an_object_of_variables() -> None:
    with mock_aws():
        secrets = boto3.client("secretsmanager", region_name=REGION)
        secrets.create_secret(Name="sfu", SecretString=json.dumps({"REDIS_URL": "rediss://log"}))
        aws = Aws(region=REGION, group="", instance=INSTANCE)
        assert await aws.variables("sfu") == {"REDIS_URL": "rediss://log"}


async def test_what_a_secret_holds_does_not_get_into_an_error() -> None:
    with mock_aws():
        boto3.client("secretsmanager", region_name=REGION).create_secret(Name="sfu", SecretString='["hidden"]')
        aws = Aws(region=REGION, group="", instance=INSTANCE)
        with pytest.raises(CloudError) as caught:
            await aws.variables("sfu")
        assert "hidden" not in str(caught.value)


async def test_a_secret_that_is_not_there_is_an_error() -> None:
    with mock_aws():
        aws = Aws(region=REGION, group="", instance=INSTANCE)
        with pytest.raises(CloudError, match="secret"):
            await aws.variables("sfu")


async def test_hooks_are_answered_for_this_host_of_this_group(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeCloud() as cloud:
        monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)
        aws = Aws(region=REGION, group="fleet", instance=INSTANCE)
        await aws.heartbeat("drain")
        await aws.complete("drain")
    host = {"AutoScalingGroupName": "fleet", "InstanceId": INSTANCE, "LifecycleHookName": "drain"}
    (beat,) = cloud.did("RecordLifecycleActionHeartbeat")
    (done,) = cloud.did("CompleteLifecycleAction")
    assert host.items() <= beat.items()
    assert (host | {"LifecycleActionResult": "CONTINUE"}).items() <= done.items()


async def test_completing_goes_on_until_it_was_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sfu_fleet.host.aws._RETRY_S", 0.01)
    with FakeCloud() as cloud:
        monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)
        cloud.failures = ["AccessDenied", "ResourceContention"]
        await Aws(region=REGION, group="fleet", instance=INSTANCE).complete("drain")
    assert len(cloud.did("CompleteLifecycleAction")) == 1


async def test_a_hook_for_which_nobody_waits_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with FakeCloud() as cloud:
        monkeypatch.setenv("AWS_ENDPOINT_URL", cloud.url)
        cloud.failures = ["ValidationError"]
        await Aws(region=REGION, group="fleet", instance=INSTANCE).complete("drain")
    assert not cloud.actions
