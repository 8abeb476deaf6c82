"""What faults are done to."""

import msgspec

from shared.stack.stack import LocalStack

from .links import Links
from .scribe import Scribe
from .witness import Witness


class Stage(msgspec.Struct):
    """A platform with people in one room: function processes, and Valkey, each behind links that can be broken."""

    state: LocalStack
    stack: LocalStack
    clients: Links
    valkey: Links
    room: str
    witnesses: list[Witness]
    scribe: Scribe
