"""Keyframe requests: coalesced, but never forgotten."""

import asyncio

from sfu_fleet.keyframe_requests import KeyframeRequests

INTERVAL = 0.05


async def test_many_viewers_make_one_request() -> None:
    sent: list[int] = []
    requests = KeyframeRequests(lambda: sent.append(1) or True, interval_s=INTERVAL)  # type: ignore[func-returns-value]
    for _ in range(100):
        requests.request()
    assert len(sent) == 1
    requests.close()


async def test_who_asks_during_the_interval_is_served_after_it() -> None:
    sent: list[int] = []
    requests = KeyframeRequests(lambda: sent.append(1) or True, interval_s=INTERVAL)  # type: ignore[func-returns-value]
    requests.request()
    requests.served()
    requests.request()
    assert len(sent) == 1
    await asyncio.sleep(INTERVAL * 1.5)
    assert len(sent) == 2
    requests.close()


async def test_a_request_is_repeated_until_a_keyframe_comes() -> None:
    sent: list[int] = []
    requests = KeyframeRequests(lambda: sent.append(1) or True, interval_s=INTERVAL)  # type: ignore[func-returns-value]
    requests.request()
    await asyncio.sleep(INTERVAL * 3.5)
    assert len(sent) >= 3
    requests.served()
    count = len(sent)
    await asyncio.sleep(INTERVAL * 2.5)
    assert len(sent) == count
    requests.close()


async def test_nothing_is_asked_after_closing() -> None:
    sent: list[int] = []
    requests = KeyframeRequests(lambda: sent.append(1) or True, interval_s=INTERVAL)  # type: ignore[func-returns-value]
    requests.request()
    requests.close()
    await asyncio.sleep(INTERVAL * 2)
    assert len(sent) == 1
