import asyncio

import pytest

from functions.signaling.outbox import MAX_BYTES, MAX_FRAMES, Outbox


async def _sent(outbox: Outbox) -> list[bytes]:
    sent: list[bytes] = []

    async def send(frame: bytes) -> None:
        sent.append(frame)

    task = asyncio.create_task(outbox.drain_into(send))
    await outbox.flushed()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    return sent


async def test_frames_leave_in_order() -> None:
    outbox = Outbox()
    frames = [str(number).encode() for number in range(100)]
    for frame in frames:
        outbox.put(frame)
    assert await _sent(outbox) == frames


async def test_a_full_outbox_overflows_and_takes_nothing_more() -> None:
    outbox = Outbox()
    for _ in range(MAX_FRAMES):
        outbox.put(b"x")
    assert not outbox.overflowed.is_set()
    outbox.put(b"one too many")
    outbox.put(b"after it")
    assert outbox.overflowed.is_set()
    assert await _sent(outbox) == [b"x"] * MAX_FRAMES


async def test_the_bound_counts_bytes_too_and_gives_them_back() -> None:
    outbox = Outbox()
    half = bytes(MAX_BYTES // 2)
    outbox.put(half)
    outbox.put(half)
    await _sent(outbox)
    outbox.put(half)
    outbox.put(half)
    assert not outbox.overflowed.is_set()
    outbox.put(b"x")
    assert outbox.overflowed.is_set()


async def test_a_failed_send_ends_the_draining() -> None:
    outbox = Outbox()
    outbox.put(b"x")

    async def send(_frame: bytes) -> None:
        raise RuntimeError("the peer has gone")

    with pytest.raises(RuntimeError):
        await outbox.drain_into(send)
