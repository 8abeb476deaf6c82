"""The benchmark of room messaging counts right, and runs; what it measures is never asserted here."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from tests.bench.signaling import __main__ as bench
from tests.bench.signaling import generator, idle, stalled
from tests.bench.signaling.generator import Counts, GeneratorError, Load, generating
from tests.bench.signaling.plan import TEXT, Kind, Message, Opening, Plan, new_marker, text_with
from tests.bench.signaling.sampling import Cores

needs_compiler = pytest.mark.skipif(generator.compiler() is None, reason="the load generator needs a C compiler")

RECEIVERS = 4
LOAD = Load(rate=50, seconds=1.0, warm_up_s=0.2, drain_s=0.5)
PUBLISHED = 60

Deliver = Callable[[ServerConnection, list[str]], Awaitable[None]]


@asynccontextmanager
async def relay(deliver: Deliver) -> AsyncIterator[int]:
    """A room that hands all that was said so far to `deliver`, for each socket and message; its port."""
    said: list[str] = []
    sockets: list[ServerConnection] = []

    async def talk(socket: ServerConnection) -> None:
        sockets.append(socket)
        await socket.send("ready")
        async for text in socket:
            said.append(str(text))
            for other in sockets:
                await deliver(other, said)

    async with serve(talk, "127.0.0.1", 0) as server:
        yield next(iter(server.sockets)).getsockname()[1]


async def counted(deliver: Deliver) -> Counts:
    marker = new_marker()
    async with relay(deliver) as port:
        plan = Plan(
            port=port,
            openings=[Opening("/", b"")] * RECEIVERS,
            publishers=1,
            message=Message(text_with(marker).encode()),
            marker=marker,
            kinds=[Kind("ready", "ready", 0, b"ready")],
            opcode=TEXT,
        )
        async with generating(plan) as running:
            opened = await running.open()
            assert (opened.opened, opened.failed) == (RECEIVERS, 0)
            await running.begin(LOAD)
            await running.end()
            return await running.counts()


async def in_order(socket: ServerConnection, said: list[str]) -> None:
    await socket.send(said[-1])


@needs_compiler
async def test_the_generator_counts_each_delivery_once() -> None:
    counts = await counted(in_order)
    assert counts.published == PUBLISHED
    assert counts.deliveries == PUBLISHED * RECEIVERS
    assert (counts.missing, counts.duplicates, counts.reordered, counts.stale) == (0, 0, 0, 0)
    assert 0 < counts.p50_ms <= counts.p95_ms <= counts.p99_ms <= counts.max_ms


@needs_compiler
async def test_the_generator_counts_the_messages_in_a_frame_and_not_the_frames() -> None:
    async def in_pairs(socket: ServerConnection, said: list[str]) -> None:
        if len(said) % 2 == 0:
            await socket.send("".join(said[-2:]))

    counts = await counted(in_pairs)
    assert counts.deliveries == PUBLISHED * RECEIVERS
    assert counts.window_frames < counts.window_deliveries


@needs_compiler
async def test_the_generator_sees_a_lost_message_and_counts_it_as_slow() -> None:
    async def forgetful(socket: ServerConnection, said: list[str]) -> None:
        if len(said) % 10:
            await socket.send(said[-1])

    counts = await counted(forgetful)
    assert counts.missing == PUBLISHED // 10 * RECEIVERS
    assert counts.max_ms >= LOAD.drain_s * 1000


@needs_compiler
async def test_the_generator_sees_doubled_and_reordered_messages() -> None:
    async def muddled(socket: ServerConnection, said: list[str]) -> None:
        if len(said) == 20:
            await socket.send(said[-1])  # a second time below
        if len(said) == 31:
            await socket.send(said[-1])
            await socket.send(said[-2])
        elif len(said) != 30:
            await socket.send(said[-1])

    counts = await counted(muddled)
    assert (counts.missing, counts.duplicates, counts.reordered) == (0, RECEIVERS, RECEIVERS)


async def test_without_a_compiler_the_benchmark_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(GeneratorError, match="apt-get install gcc"):
        generator.build()


@needs_compiler
async def test_a_small_run_delivers_everything_and_has_the_figures_of_the_last_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    figures = await bench.measure_fanout(Cores.of_machine(), sockets=[50], rates=[10, 100], seconds=2.0, chosen=[])
    assert {"deliveries_per_cpu_second", "p95_ms", "p99_ms", "ratio_to_socketio", "ratio_to_ws_batched"} < set(figures)
    assert figures["kb_per_socket"] > 0
    lost = {name: figures[f"{name}_deliveries"] for name in ("missing", "duplicate", "reordered")}
    assert lost == {"missing": 0, "duplicate": 0, "reordered": 0}
    assert json.loads(json.dumps(figures)) == figures
    header, *rows = capsys.readouterr().out.splitlines()
    assert "deliveries/s" in header
    assert [row.split()[:3] for row in rows] == [["Headrace", "50", "10"], ["Headrace", "50", "100"]]


@needs_compiler
async def test_a_reader_that_stops_takes_nothing_from_the_others() -> None:
    figures = await stalled.measure(Cores.of_machine(), sockets=30, stalled=2, rate=100, seconds=2.0)
    assert (figures["stalled_readers"], figures["stalled_others"]) == (2, 28)
    assert figures["stalled_missing_deliveries"] == 0


@needs_compiler
async def test_idle_sockets_stay_and_are_accounted_for() -> None:
    figures = await idle.measure(Cores.of_machine(), sockets=20, watched_s=1.0)
    assert (figures["idle_sockets"], figures["idle_sockets_open_at_the_end"]) == (20, 20)
    assert figures["idle_rss_mb"] > 0
