"""Every client's record against what was said and against the room's log."""

from collections import Counter
from collections.abc import Mapping, Sequence

import msgspec

from .witness import Received, Witness


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """Counts over all clients. All of `losses`, `duplicates`, `reorderings` and `unexplained` must be zero.

    losses: acknowledged messages that the log does not have, and events of the log that a client has not, with no gap
    announced for the place. duplicates: the same message twice in the log or at a client. reorderings: at a client
    against the log, or in the log against the order in which one person spoke. unexplained: events at a client that
    the log never had. excused: events that a client has not, in a gap that it was told of.
    """

    clients: int
    messages: int
    acknowledged: int
    refused: int
    deliveries: int
    losses: int
    duplicates: int
    reorderings: int
    unexplained: int
    gaps_announced: int
    excused: int
    vanished: int
    repeats_on_the_wire: int
    reconnections: int
    ack_p50_ms: float
    ack_p99_ms: float
    ack_max_ms: float
    examples: tuple[str, ...] = ()

    @property
    def clean(self) -> bool:
        """Whether nothing was lost, doubled or out of order."""
        return not (self.losses or self.duplicates or self.reorderings or self.unexplained)

    def line(self) -> str:
        """As it is printed."""
        return (
            f"{self.messages:,} messages ({self.acknowledged:,} acknowledged, {self.refused} refused), "
            f"{self.deliveries:,} deliveries to {self.clients} clients over {self.reconnections:,} reconnections: "
            f"{self.losses} losses, {self.duplicates} duplicates, {self.reorderings} re-orderings, "
            f"{self.unexplained} unexplained; {self.gaps_announced} gaps announced with {self.excused} events in them; "
            f"{self.vanished} entries vanished from Valkey; {self.repeats_on_the_wire} repeats on the wire; "
            f"acknowledged within P50 {self.ack_p50_ms:.0f} ms, P99 {self.ack_p99_ms:.0f} ms, at most "
            f"{self.ack_max_ms:.0f} ms"
        )


def judge(witnesses: Sequence[Witness], log: Mapping[int, Received], vanished: Mapping[int, Received]) -> Verdict:
    """Compare. `log` is all that the room's log ever had, by offset, without what vanished from it."""
    findings = _Findings()
    ordered = [log[offset] for offset in sorted(log)]
    findings.log(witnesses, ordered)
    for witness in witnesses:
        findings.client(witness, ordered, log)
    said = [message for witness in witnesses for message in witness.said]
    took = sorted(message.took_s * 1000 for message in said if message.offset is not None) or [0.0]
    return Verdict(
        clients=len(witnesses),
        messages=len(said),
        acknowledged=sum(message.offset is not None for message in said),
        refused=sum(len(witness.refusals) for witness in witnesses),
        deliveries=sum(len(witness.received) for witness in witnesses),
        losses=findings.counts["losses"],
        duplicates=findings.counts["duplicates"],
        reorderings=findings.counts["reorderings"],
        unexplained=findings.counts["unexplained"],
        gaps_announced=sum(len(witness.announced) for witness in witnesses),
        excused=findings.counts["excused"],
        vanished=len(vanished),
        repeats_on_the_wire=sum(witness.repeats for witness in witnesses),
        reconnections=sum(max(0, witness.connections - 1) for witness in witnesses),
        ack_p50_ms=took[len(took) // 2],
        ack_p99_ms=took[len(took) * 99 // 100],
        ack_max_ms=took[-1],
        examples=tuple(findings.examples),
    )


class _Findings:
    """What was found so far, with the first few of each kind in words."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.examples: list[str] = []

    def log(self, witnesses: Sequence[Witness], ordered: Sequence[Received]) -> None:
        """The log against what was said."""
        by_id = {(event.sender, event.message_id): event for event in reversed(ordered)}
        for key, times in Counter((event.sender, event.message_id) for event in ordered).items():
            if times > 1:
                self._add("duplicates", times - 1, f"in the log {times} times: {by_id[key]}")
        for witness in witnesses:
            # Nobody says the next thing before the last is settled, so this is the order of their speaking.
            last = 0
            for message in witness.said:
                event = by_id.get((witness.name, message.message_id))
                if message.offset is not None and event is None:
                    self._add("losses", 1, f"acknowledged at {message.offset} and not in the log: {message.text}")
                if event is not None:
                    if event.offset <= last:
                        self._add("reorderings", 1, f"in the log before what was said earlier: {event}")
                    last = event.offset

    def client(self, witness: Witness, ordered: Sequence[Received], log: Mapping[int, Received]) -> None:
        """One client's record against the log."""
        got = {event.offset for event in witness.received}
        excused = [(gap.after, gap.before) for gap in witness.announced]
        for event in ordered:
            if event.offset in got:
                continue
            if any(after < event.offset < before for after, before in excused):
                self.counts["excused"] += 1
            else:
                self._add("losses", 1, f"{witness.name} never got {event}")
        seen: set[tuple[str, int]] = set()
        last = 0
        for event in witness.received:
            key = event.sender, event.message_id
            if key in seen:
                self._add("duplicates", 1, f"{witness.name} got twice: {event}")
            seen.add(key)
            if event.offset <= last:
                self._add("reorderings", 1, f"{witness.name} got late: {event}")
            last = event.offset
            if log.get(event.offset) != event:
                self._add("unexplained", 1, f"{witness.name} got what the log does not have: {event}")

    def _add(self, kind: str, count: int, example: str) -> None:
        if self.counts[kind] < 3:
            self.examples.append(f"{kind}: {example}")
        self.counts[kind] += count
