"""No order of steps makes a read return what was invalidated before it began; and the search for one can succeed."""

import random
from collections.abc import Callable, Iterable, Mapping

import pytest

from shared.cache import family
from shared.cache.local import Kept, LocalLevel
from shared.cache.shared_level import SharedLevel
from tests.shared.cache.interleaving import Gated, Schedule, StaleError, World, without_pauses

RUNS = 1_500
MUTANT_RUNS = 1_500


async def interleave(
    level: SharedLevel,
    runs: int,
    *,
    first: int = 0,
    pages: float | None = None,
    known: bool | None = None,
    local: type[LocalLevel] = LocalLevel,
    gated: Callable[[SharedLevel, Schedule], Gated] = Gated,
) -> None:
    """So many runs, each in an order of its own.

    Raises:
        StaleError: with the seed that shows it.
    """
    with without_pauses():
        for seed in range(first, first + runs):
            choose = random.Random(seed)
            world = World(level, seed, local=local, gated=gated)
            shape = {"reads": choose.randint(1, 4), "writes": choose.randint(1, 2), "evictions": choose.randint(0, 1)}
            try:
                await world.run(
                    **shape,
                    pages=choose.choice((0.0, 0.0, 0.5)) if pages is None else pages,
                    known=choose.random() < 0.3 if known is None else known,
                )
            except StaleError as stale:
                stale.add_note(f"seed {seed}, {shape}")
                raise


async def test_nothing_that_was_invalidated_is_read_in_thousands_of_interleavings(level: SharedLevel) -> None:
    await interleave(level, RUNS)


class _Unversioned(Gated):
    """A second level whose sets are not refused."""

    async def fill(
        self, entry: str, token: str, tags: Mapping[str, str], body: bytes, lifetime_ms: int
    ) -> dict[str, str]:
        token = (await self._level.begin(entry, next(tag for tag in tags if tag != "*"))).token
        return await super().fill(entry, token, dict.fromkeys(tags, ""), body, lifetime_ms)


class _Forgetful(LocalLevel):
    """A first level that keeps what was invalidated while it was read."""

    def keep(self, name: str, kept: Kept, *, since: int) -> bool:  # noqa: ARG002 - the same signature
        return super().keep(name, kept, since=self.clock)


class _Joinable(LocalLevel):
    """A first level that lets a read join one of before an invalidation."""

    def invalidated(self, tags: Iterable[str], *, since: int) -> bool:  # noqa: ARG002 - the same signature
        return False


async def test_the_search_finds_a_second_level_without_versions(level: SharedLevel) -> None:
    with pytest.raises(StaleError):
        await interleave(level, MUTANT_RUNS, pages=0.0, known=False, gated=_Unversioned)


@pytest.mark.parametrize("broken", [_Forgetful, _Joinable])
async def test_the_search_finds_a_first_level_that_does_not_look_at_its_clock(
    level: SharedLevel, broken: type[LocalLevel]
) -> None:
    with pytest.raises(StaleError):
        await interleave(level, MUTANT_RUNS, local=broken)


async def test_the_search_finds_dependencies_that_are_not_held_to_the_version_they_were_read_at(
    level: SharedLevel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def note_without_version(versions: Mapping[str, str]) -> None:
        if (found := family._dependencies.get()) is not None:
            found.update(dict.fromkeys(versions, ""))

    monkeypatch.setattr(family, "_note", note_without_version)
    with pytest.raises(StaleError):
        await interleave(level, MUTANT_RUNS, pages=0.8, known=True)
