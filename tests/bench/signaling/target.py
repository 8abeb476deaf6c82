"""A server under test, as the measurement sees it."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import msgspec

from .plan import Plan


class Target(msgspec.Struct, frozen=True):
    """A running server: its process, those that stand beside it on the other core, and how to talk to it."""

    name: str
    server: int
    beside: tuple[int, ...]
    plan: Plan


Start = Callable[[int, int], AbstractAsyncContextManager[Target]]
"""Start a server for so many sockets, of which so many publish."""
