"""The benchmark's C: compiled as the native plane is, loaded through cffi."""

import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any, Final

from cffi import FFI  # type: ignore[import-untyped]

from sfu_fleet.native import build

_SOURCE: Final = Path(__file__).with_name("native.c")

ffi: Any = FFI()
ffi.cdef("""
struct sinks *sinks_open(int core);
struct sink *sinks_add(struct sinks *, int fd);
void sinks_feed_back(struct sinks *, struct sink *, int extension, void *context, void *protect_rtcp,
    const char *target);
void sinks_drop(struct sinks *, struct sink *);
uint64_t sinks_feedbacks(struct sinks *);
uint64_t sinks_packets(struct sinks *);
void sinks_close(struct sinks *);
struct bound { int fd, core, viewers, trains, gso; int *packets, *sizes; void *protect; void **contexts;
    void *addresses; double seconds, cpu_seconds; uint64_t sent, failed; };
void bound_run(struct bound *);
""")


@cache
def load() -> Any:  # noqa: ANN401 - a cffi library
    """The library.

    Raises:
        sfu_fleet.native.build.NotBuiltError: there is no compiler.
    """
    return compiled(ffi, _SOURCE)


def compiled(declared: Any, source: Path) -> Any:  # noqa: ANN401 - of cffi
    """A benchmark's library of one source file, with what is declared of it.

    Raises:
        sfu_fleet.native.build.NotBuiltError: there is no compiler.
    """
    command = build.compiler()
    if command is None:
        raise build.NotBuiltError("the benchmark needs a C compiler")
    with tempfile.TemporaryDirectory(prefix="headrace-bench-") as folder:
        target = Path(folder) / "native.so"
        flags = ["-std=gnu11", "-O2", "-shared", "-fPIC", "-pthread"]
        subprocess.run([*command, *flags, "-o", str(target), str(source)], check=True)
        return declared.dlopen(str(target))
