"""Work that nobody waits for goes on after an error that nobody foresaw, and ends when it is told to."""

import asyncio

from shared.tasks import end, keep


async def test_work_that_fails_is_told_of_and_begun_again() -> None:
    begun: list[int] = []
    failed: list[str] = []
    going = asyncio.Event()

    async def work() -> None:
        begun.append(len(begun))
        if len(begun) < 3:
            raise AttributeError("nobody foresaw this")
        going.set()
        await asyncio.Event().wait()

    task = keep(work, "archiver", failed.append, first_rest_s=0.001)
    async with asyncio.timeout(5):
        await going.wait()
    assert failed == ["archiver", "archiver"]
    assert not task.done()
    assert await end(task) == []
    assert begun == [0, 1, 2]


async def test_it_rests_for_longer_the_more_often_it_fails_at_once() -> None:
    times: list[float] = []

    async def work() -> None:
        times.append(asyncio.get_running_loop().time())
        raise ValueError

    task = keep(work, "w", lambda _: None, first_rest_s=0.02)
    async with asyncio.timeout(5):
        while len(times) < 4:
            await asyncio.sleep(0.005)
    await end(task)
    assert times[1] - times[0] >= 0.02
    assert times[2] - times[1] >= 0.04
    assert times[3] - times[2] >= 0.08


async def test_a_group_of_tasks_of_which_one_fails_is_begun_again_as_a_whole() -> None:
    begun: list[str] = []

    async def waits() -> None:
        begun.append("waits")
        await asyncio.Event().wait()

    async def fails() -> None:
        begun.append("fails")
        if begun.count("fails") == 1:
            raise TypeError
        await asyncio.Event().wait()

    async def work() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(waits())
            tasks.create_task(fails())

    failed: list[str] = []
    task = keep(work, "bus", failed.append, first_rest_s=0.001)
    async with asyncio.timeout(5):
        while len(begun) < 4:
            await asyncio.sleep(0.001)
    assert failed == ["bus"]
    assert await end(task) == []


async def test_work_that_returns_is_over() -> None:
    async def work() -> None:
        return

    await asyncio.wait_for(keep(work, "keys", lambda _: None), 5)
