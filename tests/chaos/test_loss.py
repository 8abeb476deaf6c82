"""Nothing is lost, doubled or re-ordered while everything that may break breaks; and the checker sees it if it is."""

import random
from pathlib import Path

import pytest

from tests.chaos.loss import scenario
from tests.chaos.loss.verdict import judge
from tests.chaos.loss.witness import Announced, Received, Said, Witness

LOG = {offset: Received(offset, "ana", 100 + offset, f"ana {offset}") for offset in range(1, 6)}


def witness(received: list[Received], *, name: str = "bo", said: list[Said] | None = None) -> Witness:
    made = Witness(name, url="http://nowhere", room="room", token="token", rng=random.Random(1))
    made.received = received
    made.said = said or []
    return made


def speaker(order: list[int]) -> Witness:
    said = [Said(100 + offset, f"ana {offset}", offset=offset) for offset in order]
    return witness(list(LOG.values()), name="ana", said=said)


def test_a_complete_record_is_clean() -> None:
    verdict = judge([speaker([1, 2, 3, 4, 5]), witness(list(LOG.values()))], LOG, {})
    assert verdict.clean
    assert (verdict.messages, verdict.acknowledged, verdict.deliveries) == (5, 5, 10)


def test_an_event_that_a_client_has_not_is_a_loss_unless_a_gap_was_announced() -> None:
    without = witness([event for event in LOG.values() if event.offset != 3])
    assert judge([without], LOG, {}).losses == 1
    without.announced = [Announced("trimmed", 2, 4)]
    verdict = judge([without], LOG, {})
    assert (verdict.losses, verdict.excused, verdict.gaps_announced) == (0, 1, 1)


def test_an_acknowledged_message_that_the_log_has_not_is_a_loss_whatever_was_announced() -> None:
    lost = speaker([1, 2, 3, 4, 5])
    lost.said.append(Said(999, "ana 6", offset=6))
    lost.announced = [Announced("epoch", 5, 9)]
    assert judge([lost], LOG, {}).losses == 1


def test_a_message_twice_in_the_log_or_at_a_client_is_a_duplicate() -> None:
    again = LOG | {6: Received(6, "ana", 101, "ana 1")}
    assert judge([witness(list(LOG.values()))], again, {}).duplicates == 1
    assert judge([witness(list(again.values()))], again, {}).duplicates == 2


def test_events_out_of_order_at_a_client_or_against_their_speaker_are_reorderings() -> None:
    swapped = [LOG[1], LOG[3], LOG[2], LOG[4], LOG[5]]
    assert judge([witness(swapped)], LOG, {}).reorderings == 1
    assert judge([speaker([1, 3, 2, 4, 5])], LOG, {}).reorderings == 1


def test_an_event_that_the_log_never_had_is_unexplained() -> None:
    assert judge([witness([*LOG.values(), Received(9, "ana", 1, "?")])], LOG, {}).unexplained == 1


@pytest.mark.timeout(300)
async def test_nothing_is_lost_doubled_or_reordered_while_processes_die_and_links_break(tmp_path: Path) -> None:
    lines: list[str] = []
    # With everysec, kill -9 may take what was acknowledged while a sync was under way (tests/bench/durability.py).
    outcome = await scenario.run(tmp_path, seconds=40, clients=12, seed=3, appendfsync="always", report=lines.append)
    told = "\n".join([*lines, *outcome.verdict.examples, outcome.verdict.line()])
    assert outcome.verdict.acknowledged > 600, told
    assert len(outcome.faults) >= 5, told
    assert outcome.clean, told
