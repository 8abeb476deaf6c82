import zlib

import pytest

from shared.protocol import messages as m
from tests.shared.protocol import message_sizes


@pytest.mark.skipif("ng" in zlib.ZLIB_RUNTIME_VERSION, reason="zlib-ng deflates to other sizes than zlib")
def test_the_page_of_sizes_is_that_of_the_code() -> None:
    assert message_sizes.PAGE.read_text(encoding="utf-8") == message_sizes.rendered()


def test_the_page_has_every_kind_and_event() -> None:
    rows = [*message_sizes.signaling(), *message_sizes.room()]
    assert {row.kind for row in rows} == m.CLIENT_KINDS.keys() | m.SERVER_KINDS.keys()
    assert len([row for row in rows if row.name.startswith("events: one ")]) == len(m.EVENT_TYPES)


@pytest.mark.parametrize("row", message_sizes.signaling(), ids=lambda row: row.name)
def test_offers_answers_and_candidates_are_at_least_75_percent_smaller_than_json(row: message_sizes.Row) -> None:
    assert row.smaller >= 0.75


def test_every_message_is_smaller_than_json_in_both_encodings() -> None:
    for row in [*message_sizes.signaling(), *message_sizes.room()]:
        for sample in row.samples:
            assert sample.ours < sample.twin < sample.json, row.name
