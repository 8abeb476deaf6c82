"""The first level keeps to its bounds, and its index and counts agree with what it has."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.cache import metrics
from shared.cache.entry import Entry
from shared.cache.local import OVERHEAD_BYTES, REMEMBERED_TAGS, Kept, LocalLevel


def _kept(*tags: str, size: int = 100) -> Kept:
    now = time.monotonic()
    entry = Entry("value", dict.fromkeys(tags, "e:0:n"), time.time(), 60.0, 60.0, size)
    return Kept("room", entry, confirmed_at=now, until=now + 60, warmed=False)


def test_the_least_recently_used_goes_first() -> None:
    local = LocalLevel(max_entries=2, max_bytes=10**6)
    for name in ("a", "b"):
        assert local.keep(name, _kept(name), since=0)
    assert local.find("a")
    assert local.keep("c", _kept("c"), since=0)
    assert [bool(local.peek(name)) for name in "abc"] == [True, False, True]
    local.forget_all()


def test_bytes_are_bounded_and_what_is_larger_than_all_is_not_kept() -> None:
    local = LocalLevel(max_entries=1000, max_bytes=10 * (OVERHEAD_BYTES + 100))
    assert not local.keep("huge", _kept("huge", size=10**6), since=0)
    for number in range(50):
        assert local.keep(str(number), _kept(str(number)), since=0)
    assert len(local) == 10
    assert local.bytes <= 10 * (OVERHEAD_BYTES + 100)
    local.forget_all()


def test_what_was_invalidated_since_it_was_read_is_not_kept() -> None:
    local = LocalLevel(max_entries=10, max_bytes=10**6)
    since = local.clock
    local.invalidate(["x"])
    assert not local.keep("a", _kept("a", "x"), since=since)
    assert local.keep("b", _kept("b"), since=since)
    assert local.keep("a", _kept("a", "x"), since=local.clock)
    since = local.clock
    local.forget_all()
    assert not local.keep("c", _kept("c"), since=since)


def test_more_invalidations_than_are_remembered_count_for_everything() -> None:
    local = LocalLevel(max_entries=10, max_bytes=10**6)
    since = local.clock
    for number in range(REMEMBERED_TAGS + 1):
        local.invalidate([f"x{number}"])
    assert not local.keep("a", _kept("a"), since=since)
    assert local.keep("a", _kept("a"), since=local.clock)
    local.forget_all()


def test_what_is_of_no_use_any_more_is_dropped() -> None:
    local = LocalLevel(max_entries=10, max_bytes=10**6)
    old = _kept("a")
    old.stale_until = time.monotonic() - 1
    local.keep("a", old, since=0)
    local.keep("b", _kept("b"), since=0)
    local.expire()
    assert [bool(local.peek(name)) for name in "ab"] == [False, True]
    local.forget_all()


_names = st.sampled_from("abcdef")
_steps = st.lists(
    st.one_of(
        st.tuples(st.just("keep"), _names, st.frozensets(st.sampled_from("xyz")), st.integers(0, 3000)),
        st.tuples(st.just("invalidate"), st.sampled_from("abcxyz*"), st.none(), st.none()),
        st.tuples(st.just("find"), _names, st.none(), st.none()),
    ),
    max_size=40,
)


@given(_steps)
@settings(deadline=None, max_examples=200)
def test_after_any_steps_it_has_what_was_kept_last_and_not_invalidated_within_its_bounds(
    steps: list[tuple[str, str, frozenset[str] | None, int | None]],
) -> None:
    local = LocalLevel(max_entries=3, max_bytes=3 * OVERHEAD_BYTES + 4000)
    before = metrics.ENTRIES.labels("room")._value.get(), metrics.BYTES.labels("room")._value.get()
    tags_of: dict[str, frozenset[str]] = {}
    for step, name, tags, size in steps:
        if step == "keep" and tags is not None and size is not None:
            tags_of[name] = tags | {name, "*"}
            assert local.keep(name, _kept(*tags_of[name], size=size), since=local.clock)
        elif step == "invalidate":
            local.invalidate([name])
            tags_of = {key: found for key, found in tags_of.items() if name not in found}
        else:
            local.find(name)
        there = {key for key in "abcdef" if local.peek(key)}
        assert there <= set(tags_of)
        assert len(there) == len(local) <= 3
        assert local.bytes <= 3 * OVERHEAD_BYTES + 4000
        kept = [local.peek(key) for key in there]
        assert local.bytes == sum(one.bytes for one in kept if one)
    local.forget_all()
    assert (local.bytes, len(local), local._by_tag) == (0, 0, {})
    after = metrics.ENTRIES.labels("room")._value.get(), metrics.BYTES.labels("room")._value.get()
    assert after == pytest.approx(before)
