"""What a viewer may get at most: the least of their own choice, of their tier, and of what their player can show.

Pure, like `adaptation`, whose inputs these are part of.
"""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

# A layer that is nearly as tall as the player is tall enough: nobody sees the difference, everybody pays for it.
TALL_ENOUGH = 0.9


class Ceiling(StrEnum):
    """Which limit keeps a viewer below the best layer that is sent."""

    CHOICE = "choice"
    TIER = "tier"
    VIEWPORT = "viewport"


class TierLimit(msgspec.Struct, frozen=True):
    """What a tier gets at most: a height in pixels, a bit rate in bit/s; 0 is no limit."""

    height: int = 0
    bitrate: int = 0


NO_LIMIT = TierLimit()


class Bounds(msgspec.Struct, frozen=True, tag="bounds"):
    """What bounds a viewer beside their own choice; 0 is no bound.

    `viewport` is the height of their player in pixels. `sound` is whether there is anything left without the video.
    """

    at: float
    viewport: int = 0
    tier: TierLimit = NO_LIMIT
    sound: bool = True


class Ladder(msgspec.Struct, frozen=True):
    """The layers that may be given, cheapest first, and what cut off those above; empty when nothing is sent."""

    layers: tuple[int, ...]
    ceiling: Ceiling | None


def ladder(
    costs: Sequence[float], heights: Sequence[int], choice: int | None, bounds: Bounds, whole: int | None = None
) -> Ladder:
    """The layers that may be given, by costs in bit/s (0: not sent) and heights in pixels (0: not known).

    Encoders name and list layers in any order, so they are compared by cost. The cheapest one is within every limit.
    Behind the first `whole` costs come those of the same layers at a lower frame rate; with None there are none. Limits
    are about whole layers: who may have one may have it so as well.
    """
    count = len(costs) if whole is None else whole
    allowed = _allowed(costs[:count], heights, choice, bounds)
    thinned = [index for index in range(count, len(costs)) if costs[index] > 0 and index - count in allowed.layers]
    # Where both cost the same, the whole one is above.
    rungs = sorted((*thinned, *allowed.layers), key=lambda index: (costs[index], index < count, index))
    return Ladder(tuple(rungs), allowed.ceiling)


def _allowed(costs: Sequence[float], heights: Sequence[int], choice: int | None, bounds: Bounds) -> Ladder:
    sent = sorted((index for index, cost in enumerate(costs) if cost > 0), key=lambda index: (costs[index], index))
    if not sent:
        return Ladder((), None)
    count, ceiling = len(sent), None
    # Of equal ones the first holds: a viewer who chose is told of their choice.
    if choice is not None and (chosen := _chosen(sent, choice)) < count:
        count, ceiling = chosen, Ceiling.CHOICE
    known = [heights[index] if index < len(heights) else 0 for index in sent]
    if bounds.tier != NO_LIMIT and (paid := _paid(sent, costs, known, bounds.tier)) < count:
        count, ceiling = paid, Ceiling.TIER
    if bounds.viewport and (shown := _shown(known, bounds.viewport)) < count:
        count, ceiling = shown, Ceiling.VIEWPORT
    count = max(1, count)
    return Ladder(tuple(sent[:count]), ceiling if count < len(sent) else None)


def _chosen(sent: list[int], choice: int) -> int:
    """How many of the layers, cheapest first, are not above the chosen one."""
    if choice in sent:
        return sent.index(choice) + 1
    # It is not sent at present: in the order of the offer then.
    return next((place for place, index in enumerate(sent) if index > choice), len(sent))


def _paid(sent: list[int], costs: Sequence[float], heights: list[int], tier: TierLimit) -> int:
    """How many of the layers the tier pays for; a height that is not known is within its limit."""
    for place, index in enumerate(sent):
        if (tier.height and heights[place] > tier.height) or (tier.bitrate and costs[index] > tier.bitrate):
            return place
    return len(sent)


def _shown(heights: list[int], viewport: int) -> int:
    """How many of the layers a player of that height has use for: up to the first one that fills it."""
    for place, height in enumerate(heights):
        if height >= TALL_ENOUGH * viewport:
            return place + 1
    return len(heights)
