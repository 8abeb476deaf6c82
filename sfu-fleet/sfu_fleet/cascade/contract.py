"""What an edge asks of a parent over the control API, and what it gets: keys, an address, streams and their SSRCs."""

from typing import Annotated

import msgspec

from sfu_fleet.dtls import SrtpKeys, random_keys
from sfu_fleet.negotiation import TrackAgreement

# An origin's edges are one hop away, theirs two. Each hop costs delay, and a longer tree is no wider.
MAX_DEPTH = 2

Fence = Annotated[int, msgspec.Meta(ge=0)]


class FeedRequest(msgspec.Struct, frozen=True):
    """Body of POST /v1/rooms/{room}/feeds.

    `worker` and `url` are who asks and where its control API is, `address` and `port` where it takes the media.
    `fence` is of the origin's lease that the edge knows: a parent with an older one is not the origin any more.
    `fetch` asks a worker that does not have the stream to get it from the origin, which the edge does not reach itself.
    """

    worker: Annotated[str, msgspec.Meta(pattern="^[a-z0-9]{1,16}$")]
    url: str
    address: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)]
    fence: Fence = 0
    fetch: bool = False


class FeedKeys(msgspec.Struct, frozen=True):
    """SRTP keys of both directions, made by the parent for this feed alone, and libsrtp's number of the profile."""

    profile: int
    name: str
    down: bytes
    up: bytes

    @classmethod
    def generate(cls) -> "FeedKeys":
        """Fresh ones."""
        keys = random_keys()
        return cls(keys.profile, keys.name, keys.outbound, keys.inbound)

    def of_parent(self) -> SrtpKeys:
        """As the parent uses them."""
        return SrtpKeys(self.profile, self.name, inbound=self.up, outbound=self.down)

    def of_edge(self) -> SrtpKeys:
        """As the edge uses them."""
        return SrtpKeys(self.profile, self.name, inbound=self.down, outbound=self.up)


class FedTrack(msgspec.Struct, frozen=True):
    """One stream: how its packets look on the way, and for each of its layers the name and the SSRC."""

    agreement: TrackAgreement
    layers: tuple[tuple[str, int], ...]


class Fed(msgspec.Struct, frozen=True):
    """Answer of POST /v1/rooms/{room}/feeds.

    `stream` is the publisher's session, `name` what the publisher calls itself, `depth` how many hops away it is.
    """

    feed: str
    keys: FeedKeys
    address: str
    port: int
    tracks: tuple[FedTrack, ...]
    stream: str
    name: str
    fence: Fence
    depth: int


class Parent(msgspec.Struct, frozen=True):
    """A worker that has a room's stream."""

    worker: str
    url: str


class Elsewhere(msgspec.Struct, frozen=True):
    """The answer of a parent without room for another feed: who gets the stream from it and may have."""

    parents: tuple[Parent, ...]
