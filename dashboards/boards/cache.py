"""The cache: what each level saves the next, and whether what it serves is right."""

from dashboards.boards.common import level, quantiles, rate
from dashboards.expressions import Level, Quantile, Rate, Ratio
from dashboards.panels import Dashboard, Panel, Query
from shared.telemetry.catalogue import cache

_READS = Rate(cache.READS)


def _answered(*levels: str) -> Ratio:
    return Ratio(Rate(cache.READS, where=("level", levels)), _READS)


CACHE = Dashboard(
    name="cache",
    title="Headrace: cache",
    panels=(
        Panel(
            title="Reads answered without the repositories",
            unit="share",
            queries=(
                Query(_answered("l1"), "in the process"),
                Query(_answered("l1", "l2"), "in the process or in Valkey"),
            ),
            wrong="The second below 90 %: a crowd of new rooms, or very many invalidations. Look at loads, and at "
            "invalidations sent.",
        ),
        Panel(
            title="Reads",
            unit="per second",
            queries=(rate(cache.READS, "family"), rate(cache.NEGATIVE, "family")),
            wrong="`negative` rises alone: somebody tries codes.",
        ),
        Panel(
            title="Reads by level",
            unit="per second",
            queries=(rate(cache.READS, "level"),),
            wrong="l3 rises with l2 at 0: the cache's Valkey is away. docs/runbooks/dependency-down.md.",
        ),
        Panel(
            title="Time of a read",
            unit="seconds",
            queries=(Query(Quantile(cache.SECONDS, 0.95, "level"), "{{level}}, 95 %"),),
            wrong="l2 above 5 ms: Valkey is overloaded or in another zone. l3: look at MongoDB.",
        ),
        Panel(
            title="Loads",
            unit="per second",
            queries=(rate(cache.LOADS, "why"), rate(cache.LOAD_ERRORS, "family")),
            wrong="Errors: MongoDB or Redis; people are served what is old meanwhile, up to its bound.",
        ),
        Panel(
            title="Waited for another's load",
            unit="per second",
            queries=(rate(cache.JOINED, "where"),),
            wrong="No sign by itself: each is a load that was spared.",
        ),
        Panel(
            title="Served past its time",
            unit="per second",
            queries=(rate(cache.STALE, "why"),),
            wrong="`error`: what stands behind does not answer. `refreshing` is how it should be.",
        ),
        Panel(
            title="Invalidations",
            unit="per second",
            queries=(rate(cache.INVALIDATIONS, "what"), rate(cache.FILLS_REFUSED, "family")),
            wrong="`missed` or `waiting` above 0 without an outage of Valkey: its network, or its buffers for pub/sub.",
        ),
        Panel(
            title="Until an invalidation is heard",
            unit="seconds",
            queries=quantiles(cache.INVALIDATION_SECONDS),
            wrong="95 % above 100 ms: an event loop that is held up, or Valkey. Look at Signaling, loop lag.",
            limit=0.1,
        ),
        Panel(
            title="Processes that use Valkey and hear",
            queries=(
                Query(Level(cache.CONNECTED, "sum"), "all of them"),
                Query(Level(cache.CONNECTED, "min"), "the least"),
            ),
            wrong="0: it is away. Reads go on in the processes and, slowed down, to the databases.",
        ),
        Panel(
            title="Calls to Valkey that failed, loads at the guard",
            unit="per second",
            queries=(rate(cache.ERRORS, "call"), rate(cache.GUARDED, "outcome")),
            wrong="`refused`: people get 503. Bring Valkey back; HEADRACE_CACHE_LOADS_PER_S if MongoDB is idle.",
        ),
        Panel(
            title="Entries in the processes",
            queries=(Query(Level(cache.ENTRIES, "sum", "family"), "{{family}}"),),
            wrong="At HEADRACE_CACHE_ENTRIES with many evictions: raise it, there is memory.",
        ),
        Panel(
            title="Bytes in the processes",
            unit="bytes",
            queries=(level(cache.BYTES, "bytes"), Query(Level(cache.BYTES, "sum", "family"), "{{family}}")),
            wrong="At HEADRACE_CACHE_BYTES with many evictions: the same.",
        ),
        Panel(
            title="Evictions",
            unit="per second",
            queries=(rate(cache.EVICTIONS, "bound"),),
            wrong="As many as reads: the first level is too small for what is asked for.",
        ),
        Panel(
            title="Warming",
            unit="per second",
            queries=(rate(cache.WARMED, "family"), rate(cache.WARMED_USED, "family")),
            wrong="Much is warmed and little of it used: rooms are read at one process only, and it is for nothing.",
        ),
    ),
)
