"""Keyframe requests: coalesced, but never forgotten."""

import asyncio

from sfu_fleet.keyframe_requests import KeyframeRequests

INTERVAL = 0.05


class Sent:
    """Counts what reaches the publisher."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> bool:
        self.count += 1
        return True


async def test_many_viewers_make_one_request() -> None:
    sent = Sent()
    requests = KeyframeRequests(sent, interval_s=INTERVAL)
    for _ in range(100):
        requests.request()
    assert sent.count == 1
    requests.close()


async def test_who_asks_during_the_interval_is_served_after_it() -> None:
    sent = Sent()
    requests = KeyframeRequests(sent, interval_s=INTERVAL)
    requests.request()
    requests.served()
    requests.request()
    assert sent.count == 1
    await asyncio.sleep(INTERVAL * 1.5)
    assert sent.count == 2
    requests.close()


async def test_a_request_is_repeated_until_a_keyframe_comes() -> None:
    sent = Sent()
    requests = KeyframeRequests(sent, interval_s=INTERVAL)
    requests.request()
    await asyncio.sleep(INTERVAL * 3.5)
    assert sent.count >= 3
    requests.served()
    before = sent.count
    await asyncio.sleep(INTERVAL * 2.5)
    assert sent.count == before
    requests.close()


async def test_nothing_is_asked_after_closing() -> None:
    sent = Sent()
    requests = KeyframeRequests(sent, interval_s=INTERVAL)
    requests.request()
    requests.close()
    await asyncio.sleep(INTERVAL * 2)
    assert sent.count == 1


async def test_a_patient_request_waits_for_its_time_and_an_urgent_one_does_not_wait_with_it() -> None:
    sent = Sent()
    requests = KeyframeRequests(sent, interval_s=INTERVAL)
    requests.request(patience_s=60)
    assert sent.count == 1
    requests.served()
    for _ in range(2):
        requests.request(patience_s=60)
        await asyncio.sleep(2 * INTERVAL)
    assert sent.count == 1
    requests.request()
    assert sent.count == 2
    requests.close()
