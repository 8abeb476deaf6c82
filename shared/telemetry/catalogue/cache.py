"""Metrics of the cache: what each level answered, what was loaded, and how invalidations travel."""

from shared.telemetry.metric import Label, Metric

FAMILIES = ("room", "room_page")
"""Kinds of things that are cached; the values of a label."""
LEVELS = ("l1", "l2", "l3")
"""In the process, in Valkey, what the repositories read."""

_SECONDS = (2e-6, 5e-6, 1e-5, 5e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 0.05, 0.1, 0.25, 1.0)
_FAMILY = Label("family", "kind of thing", FAMILIES)
_LEVEL = Label("level", "l1 in the process, l2 in Valkey, l3 what the repositories read", LEVELS)

READS = Metric(
    name="headrace_cache_reads_total",
    kind="counter",
    help="Reads by the level that answered; what joined another read counts where that was answered",
    question="How many reads does each level save the next?",
    labels=(_FAMILY, _LEVEL),
)
SECONDS = Metric(
    name="headrace_cache_read_seconds",
    kind="histogram",
    unit="seconds",
    help="Time of a read by the level that answered; of those in the process one in 64 is timed",
    question="What does a miss cost?",
    labels=(_LEVEL,),
    buckets=_SECONDS,
)
NEGATIVE = Metric(
    name="headrace_cache_negative_total",
    kind="counter",
    help="Reads answered with: there is no such thing",
    question="Does somebody try codes?",
    labels=(_FAMILY,),
)
STALE = Metric(
    name="headrace_cache_stale_total",
    kind="counter",
    help="Reads answered with something past its time",
    question="Is what people see old, and why?",
    labels=(
        _FAMILY,
        Label(
            "why",
            "`refreshing`: it is being loaded anew; `error`: what stands behind did not answer",
            ("refreshing", "error"),
        ),
    ),
)
JOINED = Metric(
    name="headrace_cache_joined_total",
    kind="counter",
    help="Reads that waited for another one's load instead of loading",
    question="How many stampedes were spared?",
    labels=(_FAMILY, Label("where", "the other one is", ("process", "elsewhere"))),
)
LOADS = Metric(
    name="headrace_cache_loads_total",
    kind="counter",
    help="Loads from the repositories",
    question="Why is MongoDB asked?",
    labels=(
        _FAMILY,
        Label(
            "why",
            "`direct`: a miss while Valkey was away; `warm`: before anybody asked",
            ("miss", "refresh", "warm", "direct"),
        ),
    ),
)
LOAD_ERRORS = Metric(
    name="headrace_cache_load_errors_total",
    kind="counter",
    help="Loads that failed",
    question="Is what stands behind the cache away?",
    labels=(_FAMILY,),
)
FILLS_REFUSED = Metric(
    name="headrace_cache_fills_refused_total",
    kind="counter",
    help="Loads that were not kept, because something that they depend on was invalidated meanwhile",
    question="How often would a cache without versions have kept something old?",
    labels=(_FAMILY,),
)
EVICTIONS = Metric(
    name="headrace_cache_evictions_total",
    kind="counter",
    help="Entries that this process dropped for want of room",
    question="Is the first level too small?",
    labels=(_FAMILY, Label("bound", "which was reached", ("entries", "bytes"))),
)
ENTRIES = Metric(
    name="headrace_cache_entries",
    kind="gauge",
    help="Entries in this process",
    question="What fills the first level?",
    labels=(_FAMILY,),
)
BYTES = Metric(
    name="headrace_cache_bytes",
    kind="gauge",
    unit="bytes",
    help="Bytes of these entries, encoded, with an allowance for what Python adds",
    question="How much memory does the first level hold?",
    labels=(_FAMILY,),
)
INVALIDATIONS = Metric(
    name="headrace_cache_invalidations_total",
    kind="counter",
    help="Invalidations",
    question="Do writers tell, and do all processes hear?",
    labels=(
        Label(
            "what",
            "`sent` by this process, `waiting` since Valkey was away, `heard` from any; `missed`: all was dropped",
            ("sent", "waiting", "heard", "missed"),
        ),
    ),
)
INVALIDATION_SECONDS = Metric(
    name="headrace_cache_invalidation_seconds",
    kind="histogram",
    unit="seconds",
    help="From sending an invalidation to hearing it, at the process that sent it",
    question="How long may another process answer with the old?",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5),
)
CONNECTED = Metric(
    name="headrace_cache_connected",
    kind="gauge",
    help="1 while this process uses the cache's Valkey and hears invalidations",
    question="Is the second level there?",
)
ERRORS = Metric(
    name="headrace_cache_errors_total",
    kind="counter",
    help="Calls to the cache's Valkey that failed; the read went on without it",
    question="Which call fails?",
    labels=(Label("call", "which", ("read", "begin", "fill", "release", "invalidate", "beat", "listen", "heat")),),
)
GUARDED = Metric(
    name="headrace_cache_guarded_total",
    kind="counter",
    help="Loads that came to the guard, which stands before the repositories while Valkey is away",
    question="Does the guard hold people up?",
    labels=(Label("outcome", "of that", ("passed", "waited", "refused")),),
)
WARMED = Metric(
    name="headrace_cache_warmed_total",
    kind="counter",
    help="Entries that were brought into the process before anybody asked here",
    question="How much is warmed?",
    labels=(_FAMILY,),
)
WARMED_USED = Metric(
    name="headrace_cache_warmed_used_total",
    kind="counter",
    help="Those of them that somebody then asked for",
    question="Does warming guess right?",
    labels=(_FAMILY,),
)

ALL = (
    READS,
    SECONDS,
    NEGATIVE,
    STALE,
    JOINED,
    LOADS,
    LOAD_ERRORS,
    FILLS_REFUSED,
    EVICTIONS,
    ENTRIES,
    BYTES,
    INVALIDATIONS,
    INVALIDATION_SECONDS,
    CONNECTED,
    ERRORS,
    GUARDED,
    WARMED,
    WARMED_USED,
)
