"""The cache's metrics, made from the catalogue."""

from shared.telemetry.catalogue import cache
from shared.telemetry.metric import counter, gauge, histogram

READS = counter(cache.READS)
SECONDS = histogram(cache.SECONDS)
NEGATIVE = counter(cache.NEGATIVE)
STALE = counter(cache.STALE)
JOINED = counter(cache.JOINED)
LOADS = counter(cache.LOADS)
LOAD_ERRORS = counter(cache.LOAD_ERRORS)
FILLS_REFUSED = counter(cache.FILLS_REFUSED)
EVICTIONS = counter(cache.EVICTIONS)
ENTRIES = gauge(cache.ENTRIES)
BYTES = gauge(cache.BYTES)
INVALIDATIONS = counter(cache.INVALIDATIONS)
INVALIDATION_SECONDS = histogram(cache.INVALIDATION_SECONDS)
CONNECTED = gauge(cache.CONNECTED)
ERRORS = counter(cache.ERRORS)
GUARDED = counter(cache.GUARDED)
WARMED = counter(cache.WARMED)
WARMED_USED = counter(cache.WARMED_USED)
