"""What a decision asks of whoever drives it, and by what a session is admitted."""

from collections.abc import Generator, Sequence
from typing import Any, NamedTuple, TypeVar

from shared.placement.records import Book, Verdict

# Packets per second that a session is taken for until the room's own figures are known: a viewer of 2.5 Mbit/s with
# sound, and an edge that pulls three layers of it.
VIEWER_PPS = 350
PULL_PPS = 600


class ReadBooks(NamedTuple):
    """Step: tell the books of these workers; one that is unknown is left out. Reply: a mapping by worker.

    Those of a whole fleet may be a moment old where `fresh` is false: many who are refused at once ask for them.
    """

    workers: Sequence[str]
    fresh: bool = True


class TakeOrigin(NamedTuple):
    """Step: make this worker the room's origin, if the present token is still `expected`. Reply: `Taken`."""

    worker: str
    boot: str
    ask_pps: int
    expected: int


class Admit(NamedTuple):
    """Step: book a viewer on a worker, up to `share` of its budget; with a parent, a pull from that too.

    It is refused when the room's token is not `token` any more. Reply: `Admitted`.
    """

    worker: str
    boot: str
    ask_pps: int
    share: float
    token: int
    parent: str = ""
    parent_boot: str = ""
    pull_pps: int = 0


class Admitted(NamedTuple):
    """Whether a viewer was booked, and whom the worker pulls from if it was to be a new edge."""

    verdict: Verdict
    parent: str = ""


class Taken(NamedTuple):
    """Whether a worker has become the origin, and the room's token."""

    verdict: Verdict
    token: int


class Branch(NamedTuple):
    """Step: book the pull of a worker that serves the room and has lost its parent. Reply: `Admitted`."""

    worker: str
    token: int
    parent: str
    parent_boot: str
    pull_pps: int


Step = ReadBooks | TakeOrigin | Admit | Branch
_What = TypeVar("_What")
Steps = Generator[Step, Any, _What]


def judge(book: Book, ask_pps: int, share: float, *, joins: bool = True) -> Verdict:
    """What stands against `ask_pps` more on a worker, as the commit judges it.

    A pull (`joins` is false) costs no handshake, and goes on while its source drains.
    """
    if not book.alive:
        return Verdict.GONE
    if joins and book.draining:
        return Verdict.DRAINING
    if book.base_pps + book.reserved_pps + ask_pps > book.capacity_pps * share:
        return Verdict.FULL
    if joins and book.joins >= book.joins_per_s:
        return Verdict.BURST
    return Verdict.ADMITTED
