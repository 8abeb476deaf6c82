"""Ten thousand people who say nothing, on one process: what their sockets and their pings cost."""

import asyncio
from typing import Any, Final

from .generator import generating
from .headrace import PING_MS, Headrace
from .sampling import Cores, Sampler, resident_kb

# Long enough for everybody's ping.
WATCHED_S: Final = PING_MS / 1000 + 1.0
SETTLING_S: Final = 3.0


async def measure(cores: Cores, *, sockets: int, watched_s: float = WATCHED_S) -> dict[str, Any]:
    """Open the sockets, in rooms of ordinary size, and watch one interval of pings."""
    async with Headrace(cores).start(sockets, 1) as target, generating(target.plan, core=cores.rest) as generator:
        empty_kb = resident_kb([target.server])
        sampler = Sampler({"server": [target.server]}, cores)
        opened = await generator.open()
        joining_s = sampler.sample(1.0).of("server")
        await asyncio.sleep(SETTLING_S)
        sampler = Sampler({"server": [target.server]}, cores)
        await asyncio.sleep(watched_s)
        used = sampler.sample(watched_s).of("server")
        full_kb = resident_kb([target.server])
        still = await generator.open_now()
    there = max(1, opened.opened)
    pings_per_s = there * 1000 / PING_MS
    found = {
        "idle_sockets": opened.opened,
        "idle_sockets_failed": opened.failed,
        "idle_sockets_open_at_the_end": still,
        "idle_rss_mb": round(full_kb / 1024, 1),
        "idle_kb_per_socket": round((full_kb - empty_kb) / there, 1),
        "idle_server_cores": round(used, 4),
        "idle_pings_per_second": round(pings_per_s, 1),
        "idle_cpu_us_per_ping": round(used / pings_per_s * 1e6, 1),
        "idle_joins_per_second": round(opened.opened / opened.seconds),
        "idle_cpu_ms_per_join": round(1000 * joining_s / there, 3),
    }
    print(
        f"idle: {opened.opened:,} sockets on one process in {opened.seconds:.1f} s ({opened.failed} failed"
        f"{f': {opened.note}' if opened.note else ''}), {found['idle_rss_mb']:,} MB in all, "
        f"{found['idle_kb_per_socket']} kB each; {pings_per_s:,.0f} pings/s take {used:.3f} cores, presence and "
        f"everything else included; {still:,} open after {watched_s:.0f} s"
    )
    return found
