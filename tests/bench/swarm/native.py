"""The swarm's C: compiled as the other benchmark's is, loaded through cffi."""

from functools import cache
from pathlib import Path
from typing import Any, Final

from cffi import FFI  # type: ignore[import-untyped]

from tests.bench.sfu.native import compiled

_SOURCE: Final = Path(__file__).with_name("native.c")
BUCKETS: Final = 50_000
"""Of each histogram; a bucket is a tenth of a millisecond, the last one all that is above."""

ffi: Any = FFI()
ffi.cdef("""
struct figures { uint64_t datagrams_ever, datagrams, dropped, overflowed, refused, expected, lost, repaired, nacked,
    keyframes_asked, bytes, frames, freezes, reports; double frozen_s, jitter_ms; int64_t keyframe_ns; };
struct swarm *swarm_open(int core, int64_t frozen_after_ns, void *unprotect, void *unprotect_rtcp);
struct member *swarm_add(struct swarm *, int fd, int extension, void *receive, void *transmit, void *protect_rtcp,
    const char *target, int audio, int video, int rtx, int repairs, int drop_every);
void swarm_feed(struct swarm *, struct member *, const char *data, int size, int plain);
void swarm_start(struct swarm *, struct member *);
void swarm_drop(struct swarm *, struct member *);
void swarm_begin(struct swarm *);
void swarm_end(struct swarm *);
void swarm_window(struct swarm *, int64_t *from_ns, int64_t *until_ns);
void swarm_figures(struct swarm *, struct member *, struct figures *);
void swarm_histograms(struct swarm *, uint32_t *latency, uint32_t *late);
void swarm_close(struct swarm *);
""")


@cache
def load() -> Any:  # noqa: ANN401 - a cffi library
    """The library.

    Raises:
        sfu_fleet.native.build.NotBuiltError: there is no compiler.
    """
    return compiled(ffi, _SOURCE)
