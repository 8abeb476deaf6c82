"""A short run of the fuzzer; `python -m tests.bench.sfu_fuzz` is the long one."""

from sfu_fleet.worker import SfuWorker
from tests.bench import sfu_fuzz


async def test_garbage_from_strangers_and_peers_crashes_nothing_and_disturbs_nobody(worker: SfuWorker) -> None:
    counts = await sfu_fuzz.run(worker, seed=7, rounds=200)
    assert counts.errors == 0
    assert (counts.witness_received, counts.witness_repeated) == (counts.witness_expected, 0)
    assert counts.sent_by_strangers > 2_000
    assert counts.sent_by_peers > 3_000


async def test_a_stranger_is_never_told_more_than_it_said(worker: SfuWorker) -> None:
    counts = await sfu_fuzz.run(worker, seed=8, rounds=40)
    # No stranger knew a password, so no stranger got anything.
    assert (counts.stranger_bytes_in > 10_000, counts.stranger_bytes_out) == (True, 0)
