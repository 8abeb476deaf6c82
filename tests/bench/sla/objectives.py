"""What was promised, and how each promise is judged. Nothing here knows how the evidence came about.

A promise is kept (`pass`), broken (`miss`), or cannot be judged on this machine: only where its judge says so and why.
What was not measured at all is a miss, since a report that leaves out what it does not know says nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, Literal

import msgspec

from tests.bench.sla.evidence import (
    APPENDED,
    CACHE_READS,
    DELIVERIES,
    ERROR_FRAMES,
    HTTP_ERRORS,
    Burst,
    Crowd,
    Evidence,
    Media,
    MissingError,
    Moment,
    Quantiles,
    need,
)

Result = Literal["pass", "miss", "not measurable here"]

P95_MS: Final = 100.0
P99_MS: Final = 250.0
ERRORS: Final = 0.01
CACHE_HITS: Final = 0.9
AVAILABILITY: Final = 0.999
RECOVERED: Final = 0.95  # of the sockets that there were
RECOVERY_S: Final = 10.0
MEDIA_LOSS: Final = 0.001
MEDIA_JOIN_MS: Final = 2000.0
# Clients that go take deliveries with them that had been handed to their sockets.
AGREEMENT: Final = 0.03
FEW: Final = 5  # such as the gift with which a run finds out whether there are gifts
# A generator that is later than this, or has no processor left, measures itself.
LATE_MS: Final = 20.0
BUSY: Final = 0.93


class NotMeasurableError(Exception):
    """This machine or this profile cannot show it; the text says why."""


class Finding(msgspec.Struct, frozen=True):
    """What a judge found: in words, and whether that is what was promised."""

    kept: bool
    measured: str


class Verdict(msgspec.Struct, frozen=True):
    """Of one objective."""

    objective: str
    title: str
    wanted: str
    result: Result
    measured: str


class Objective(msgspec.Struct, frozen=True):
    """A promise: its name, what it says, what is wanted, and who judges it."""

    name: str
    title: str
    wanted: str
    judge: Callable[[Evidence], Finding]


def verdicts(evidence: Evidence) -> list[Verdict]:
    """One for each objective, in order."""
    return [_verdict(objective, evidence) for objective in OBJECTIVES]


def _verdict(objective: Objective, evidence: Evidence) -> Verdict:
    result: Result
    try:
        finding = objective.judge(evidence)
    except MissingError as missing:
        result, measured = "miss", f"not measured: {missing}"
    except NotMeasurableError as reason:
        result, measured = "not measurable here", str(reason)
    else:
        result, measured = "pass" if finding.kept else "miss", finding.measured
    return Verdict(objective.name, objective.title, objective.wanted, result, measured)


# Room messaging at its promised size: the project's own generator


def _sockets(count: int) -> Callable[[Evidence], Finding]:
    def judge(evidence: Evidence) -> Finding:
        burst = _burst(evidence, count)
        opened = need(burst.opened, f"how many of {count:,} sockets opened")
        return Finding(opened >= count, f"{opened:,} of {count:,} at one function process")

    return judge


def _rate(sockets: int, deliveries: int) -> Callable[[Evidence], Finding]:
    def judge(evidence: Evidence) -> Finding:
        burst = _valid(_burst(evidence, sockets, deliveries / sockets))
        rate = need(burst.deliveries_per_s, "deliveries per second")
        missing = need(burst.missing, "missing deliveries")
        said = f"{rate:,.0f}/s to {burst.sockets:,} sockets, {missing:,} missing, {_of_core(burst)}"
        # What is offered is the rate wanted: a window's edges cut off a little of it.
        return Finding(rate >= 0.99 * deliveries and missing == 0, said)

    return judge


def _latency(sockets: int, deliveries: int) -> Callable[[Evidence], Finding]:
    def judge(evidence: Evidence) -> Finding:
        return _within(need(_valid(_burst(evidence, sockets, deliveries / sockets)).latency, "latencies"))

    return judge


def _beyond(evidence: Evidence) -> Finding:
    if evidence.profile == "smoke" and evidence.bursts:
        raise NotMeasurableError("the smoke profile is too small for it")
    whole = [
        burst
        for burst in evidence.bursts
        if burst.missing == 0 and burst.deliveries_per_s is not None and not burst.generator_saturated
    ]
    if not whole:
        raise MissingError("a burst without a missing delivery")
    best = max(whole, key=lambda burst: burst.deliveries_per_s or 0.0)
    latency = need(best.latency, "latencies")
    said = f"{best.deliveries_per_s:,.0f}/s to {best.sockets:,} sockets, P95 {latency.p95} ms, {_of_core(best)}"
    return Finding((best.deliveries_per_s or 0.0) > 15_000, said)


# Users in k6


def _users(evidence: Evidence) -> Finding:
    return _latencies_of([(crowd, need(crowd.message, f"latencies of {crowd.shape}")) for crowd in _crowds(evidence)])


def _afterwards(evidence: Evidence) -> Finding:
    crowds = [crowd for crowd in _crowds(evidence) if crowd.shape in {"spike", "stress", "recovery"}]
    if not crowds:
        if evidence.profile == "smoke":
            raise NotMeasurableError("the smoke profile has no shape with something to recover from")
        raise MissingError("a shape with something to recover from")
    return _latencies_of(
        [(crowd, need(crowd.afterwards, f"latencies after the worst of {crowd.shape}")) for crowd in crowds]
    )


def _latencies_of(measured: list[tuple[Crowd, Quantiles]]) -> Finding:
    findings = [(crowd, _within(latency)) for crowd, latency in measured]
    said = [f"{crowd.shape}: {finding.measured}" for crowd, finding in findings]
    return _judged(said, [crowd for crowd, finding in findings if not finding.kept])


def _judged(said: list[str], broken: Sequence[Crowd]) -> Finding:
    """A good figure is good whatever k6 did; a bad one is the platform's, unless k6 gave out in each such run."""
    generators = [reason for crowd in broken for reason in _its_own_limit(crowd)]
    if broken and len(generators) == len(broken):
        raise NotMeasurableError(f"{'; '.join(said)}. {'; '.join(generators)}")
    return Finding(not broken, "; ".join(said))


def _its_own_limit(crowd: Crowd) -> list[str]:
    late = need(crowd.late_p99_ms, "how late k6 was to send")
    used = need(need(crowd.cores, "processor time").get("k6"), "k6's processor time")["mean"]
    if late > LATE_MS or used > BUSY:
        return [f"In {crowd.shape} k6 itself used {used:.2f} cores and was {late:.0f} ms late to send at its P99"]
    return []


def _errors(evidence: Evidence) -> Finding:
    said: list[str] = []
    broken = []
    for crowd in _crowds(evidence):
        operations = need(crowd.operations, f"operations of {crowd.shape}")
        if operations <= 0:
            raise MissingError(f"operations of {crowd.shape}: there was none")
        rate = need(crowd.error_rate, f"errors of {crowd.shape}")
        text = f"{crowd.shape}: {rate:.3%} of {operations:,}"
        if crowd.counters is not None:
            server = sum(need(crowd.counters.get(name), f"the servers' {name}") for name in (ERROR_FRAMES, HTTP_ERRORS))
            # What a server refused and a client did not count would be a hidden error.
            rate = max(rate, server / operations)
            text += f", {server:,.0f} refused by the servers' own count"
        elif crowd.killed_at_s is None:
            raise MissingError(f"the servers' counters of {crowd.shape}")
        said.append(text)
        if rate >= ERRORS:
            broken.append(crowd)
    return _judged(said, broken)


def _budget(evidence: Evidence) -> Finding:
    operations = sum(need(crowd.operations, "operations") for crowd in _crowds(evidence))
    failed = sum(need(crowd.error_rate, "errors") * need(crowd.operations, "operations") for crowd in _crowds(evidence))
    if operations <= 0:
        raise MissingError("operations: there was none")
    share = failed / operations / (1 - AVAILABILITY)
    raise NotMeasurableError(
        f"takes a month of a deployment; in these runs, faults included, {failed:,.0f} of {operations:,} operations "
        f"failed, which is {share:.0%} of the error budget of as many"
    )


def _nothing_lost(evidence: Evidence) -> Finding:
    said: list[str] = []
    total, unknown = 0, []
    for crowd in _crowds(evidence):
        counts = [
            need(getattr(crowd, name), f"{name} of {crowd.shape}")
            for name in ("lost", "duplicated", "misordered", "cut_off")
        ]
        if not need(crowd.delivered, f"deliveries of {crowd.shape}"):
            raise MissingError(f"deliveries of {crowd.shape}: there was none")
        total += sum(counts[:3])
        if counts[3]:
            unknown.append(crowd)
        text = f"{crowd.shape}: {crowd.delivered:,} deliveries, {counts[0]} lost, {counts[1]} doubled, "
        said.append(f"{text}{counts[2]} out of order" + (f", {counts[3]} visits cut off" if counts[3] else ""))
    if not evidence.bursts:
        raise MissingError("bursts")
    for name in ("missing", "duplicated", "misordered"):
        of_bursts = sum(need(getattr(burst, name), f"{name} of a burst") for burst in _kept_up(evidence.bursts))
        total += of_bursts
        said.append(f"bursts: {of_bursts} {name}")
    # What a visit that was cut off would have found is not known.
    return Finding(False, "; ".join(said)) if total else _judged(said, unknown)


def _agree(evidence: Evidence) -> Finding:
    said: list[str] = []
    apart: dict[str, Crowd] = {}
    compared = 0
    for crowd in _crowds(evidence):
        if crowd.killed_at_s is not None:
            continue
        compared += 1
        counters = need(crowd.counters, f"the servers' counters of {crowd.shape}")
        sides = (
            ("messages", need(crowd.sent, "messages sent"), need(counters.get(APPENDED), "messages appended")),
            (
                "deliveries",
                need(crowd.delivered, "deliveries"),
                need(counters.get(DELIVERIES), "deliveries by the servers' count"),
            ),
        )
        for what, client, server in sides:
            off = abs(client - server) / max(server, 1.0)
            if off > AGREEMENT and abs(client - server) > FEW:
                apart[crowd.shape] = crowd
            said.append(f"{crowd.shape}: {what} {client:,} and {server:,.0f} ({off:.1%} apart)")
        below, _ = need(crowd.tail, f"the servers' histogram of {crowd.shape}").between_s(0.95)
        client_ms = need(need(crowd.delivery, "latencies from append to delivery").p95, "their P95")
        # A client hears of a message after the server has handed it over: it cannot have been faster.
        if below * 1000 > client_ms + 1.0:
            apart[crowd.shape] = crowd
        said.append(f"P95 from append on: servers above {below * 1000:.0f} ms, clients {client_ms:.1f} ms")
    if not compared:
        raise MissingError("a run in which no process was killed")
    return _judged(said, list(apart.values()))


def _cache(evidence: Evidence) -> Finding:
    reads: dict[str, float] = {}
    for crowd in _crowds(evidence):
        for name, value in (crowd.counters or {}).items():
            if name.startswith(CACHE_READS):
                level = name.removeprefix(CACHE_READS)
                reads[level] = reads.get(level, 0.0) + value
    total = sum(reads.values())
    if total <= 0:
        raise MissingError("reads of the cache")
    by_level = ", ".join(f"{level} {value:,.0f}" for level, value in sorted(reads.items()))
    hits = 1 - need(reads.get("l3"), "reads that went to the repositories") / total
    return Finding(hits > CACHE_HITS, f"{hits:.1%} of {total:,.0f} reads ({by_level})")


def _recovery(evidence: Evidence) -> Finding:
    if "recovery" not in evidence.crowds and evidence.profile == "smoke":
        raise NotMeasurableError("the smoke profile kills nothing")
    crowd = need(evidence.crowds.get("recovery"), "the shape recovery")
    seconds = recovered_after_s(crowd.moments, need(crowd.killed_at_s, "the time of the kill"))
    return Finding(seconds <= RECOVERY_S, f"{RECOVERED:.0%} of the sockets were back {seconds:.1f} s after the kill")


def recovered_after_s(moments: Sequence[Moment], killed_s: float) -> float:
    """Seconds from the kill until as many sockets were open again as before, less a twentieth.

    Raises:
        MissingError: nobody looked in time.
    """
    before = [one for one in moments if one.at_s <= killed_s]
    after = [one for one in moments if one.at_s > killed_s]
    if not before or not after:
        raise MissingError("open sockets around the kill")
    wanted = RECOVERED * before[-1].sockets
    # Whoever looks in the second of the kill may still see those that have gone.
    low = min(after[:8], key=lambda one: one.sockets)
    for one in after:
        if one.at_s >= low.at_s and one.sockets >= wanted:
            return one.at_s - killed_s
    raise MissingError("the time at which the sockets were back: they never were")


# Media


def _viewers(evidence: Evidence) -> Finding:
    media = need(evidence.media, "the media swarm")
    connected = need(media.viewers_connected, "viewers connected")
    kbps, offered = need(media.received_kbps_mean, "bit rate received"), need(media.offered_kbps, "bit rate offered")
    said = f"{connected:,} of {media.viewers:,} viewers, {kbps:,.0f} of {offered:,.0f} kbit/s each"
    return Finding(connected == media.viewers and connected > 0, said)


def _media_whole(evidence: Evidence) -> Finding:
    media = need(evidence.media, "the media swarm")
    loss = need(media.loss_ratio, "packet loss")
    freezes = need(media.freezes, "freezes")
    frames = need(media.frames_missing_ratio, "missing frames")
    said = f"{loss:.4%} of packets lost, {frames:.4%} of frames missing, {freezes} freezes"
    return _of_swarm(media, Finding(loss <= MEDIA_LOSS and freezes == 0, said))


def _media_join(evidence: Evidence) -> Finding:
    media = need(evidence.media, "the media swarm")
    join = need(media.join_ms_p95, "join times")
    return _of_swarm(media, Finding(join < MEDIA_JOIN_MS, f"P95 {join:,.0f} ms from request to first whole keyframe"))


def _of_swarm(media: Media, finding: Finding) -> Finding:
    if not finding.kept and need(media.saturated, "which side was saturated") == "swarm":
        raise NotMeasurableError(f"{finding.measured}; the swarm had no processor left")
    return finding


# Helpers


def _crowds(evidence: Evidence) -> list[Crowd]:
    if not evidence.crowds:
        raise MissingError("users in k6")
    return list(evidence.crowds.values())


def _burst(evidence: Evidence, sockets: int, published_per_s: float | None = None) -> Burst:
    for burst in evidence.bursts:
        if burst.sockets == sockets and published_per_s in {None, burst.published_per_s}:
            return burst
    if evidence.profile == "smoke" and evidence.bursts:
        most = max(burst.sockets for burst in evidence.bursts)
        raise NotMeasurableError(f"the smoke profile opens {most:,} sockets at most")
    raise MissingError(f"a burst to {sockets:,} sockets")


def _valid(burst: Burst) -> Burst:
    if need(burst.generator_saturated, "whether the generator kept up"):
        raise NotMeasurableError("the generator had no processor left or was late to send")
    return burst


def _kept_up(bursts: Iterable[Burst]) -> list[Burst]:
    """Those at rates that the platform claims; beyond, what is missing at the end of the window is under way."""
    return [burst for burst in bursts if burst.sockets * burst.published_per_s <= 15_000]


def _within(latency: Quantiles) -> Finding:
    if latency.count <= 0:
        raise MissingError("latencies: there is no measurement")
    p95, p99 = need(latency.p95, "P95"), need(latency.p99, "P99")
    return Finding(p95 < P95_MS and p99 < P99_MS, f"P95 {p95:.1f}, P99 {p99:.1f} ms of {latency.count:,}")


def _of_core(burst: Burst) -> str:
    return f"{need(burst.server_cores, 'processor time of the server'):.2f} of a core"


OBJECTIVES: Final = (
    Objective("sockets_1000", "A room of a thousand", "1,000 sockets", _sockets(1000)),
    Objective("sockets_1500", "A full room", "1,500 sockets", _sockets(1500)),
    Objective("rate_sustained", "Sustained rate", "10,000 deliveries/s", _rate(1000, 10_000)),
    Objective("rate_burst", "Burst", "15,000 deliveries/s", _rate(1500, 15_000)),
    Objective("rate_beyond", "How far beyond", "more than 15,000 deliveries/s, nothing missing", _beyond),
    Objective("latency_1000", "Latency at 10,000/s", "P95 < 100 ms, P99 < 250 ms", _latency(1000, 10_000)),
    Objective("latency_1500", "Latency at 15,000/s", "P95 < 100 ms, P99 < 250 ms", _latency(1500, 15_000)),
    Objective("latency_users", "Latency among users of five kinds", "P95 < 100 ms, P99 < 250 ms", _users),
    Objective("latency_afterwards", "Latency after the worst", "P95 < 100 ms, P99 < 250 ms", _afterwards),
    Objective("errors", "Errors, the servers' own count included", "< 1 %", _errors),
    Objective("availability", "Availability", "99.9 %", _budget),
    Objective("nothing_lost", "Nothing lost, doubled or out of order", "0", _nothing_lost),
    Objective("agreement", "Clients and servers counted the same", "within 3 %", _agree),
    Objective("cache", "Reads answered by the cache", "> 90 %", _cache),
    Objective("recovery", "Recovery from a killed function process", "within 10 s", _recovery),
    Objective("media_viewers", "Viewers get the stream", "all connect", _viewers),
    Objective("media_whole", "The picture is whole", "loss ≤ 0.1 %, no freeze", _media_whole),
    Objective("media_join", "Time to the first picture", "P95 < 2 s", _media_join),
)
