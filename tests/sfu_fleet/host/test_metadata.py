"""The client of the metadata service, against a fake of it."""

import pytest

from sfu_fleet.host.metadata import Identity, Metadata, MetadataError, Notice
from tests.sfu_fleet.host.fake_cloud import INSTANCE, FakeCloud


async def test_a_host_learns_who_it_is_with_a_session_token() -> None:
    with FakeCloud() as cloud:
        async with Metadata(cloud.url) as metadata:
            assert await metadata.identity() == Identity(
                INSTANCE, "127.0.0.1", "203.0.113.7", "eu-central-1/eu-central-1a"
            )
        assert cloud.tokens == 1


async def test_a_token_that_has_expired_is_replaced() -> None:
    with FakeCloud() as cloud:
        async with Metadata(cloud.url) as metadata:
            await metadata.identity()
            cloud.revoked = True
            assert await metadata.notice() is None
        assert cloud.tokens == 2


async def test_a_host_without_a_public_address_says_so() -> None:
    with FakeCloud() as cloud:
        del cloud.categories["public-ipv4"]
        async with Metadata(cloud.url) as metadata:
            assert (await metadata.identity()).public == ""


async def test_scale_in_and_spot_interruptions_are_noticed_and_nothing_else_is() -> None:
    with FakeCloud() as cloud:
        async with Metadata(cloud.url) as metadata:
            cloud.categories["autoscaling/target-lifecycle-state"] = "InService"
            assert await metadata.notice() is None
            cloud.categories["spot/instance-action"] = '{"action": "terminate", "time": "2026-01-01T00:00:00Z"}'
            assert await metadata.notice() is Notice.SPOT
            cloud.categories["autoscaling/target-lifecycle-state"] = "Terminated"
            assert await metadata.notice() is Notice.SCALE_IN


async def test_a_service_that_does_not_answer_is_an_error() -> None:
    with FakeCloud() as cloud:
        url = cloud.url
    async with Metadata(url) as metadata:
        with pytest.raises(MetadataError):
            await metadata.notice()
