"""The same scripts on a cluster: three masters, made by hand."""

import asyncio
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from redis.asyncio import Redis, RedisCluster
from redis.exceptions import RedisError

from shared.protocol.messages import ChatEvent
from shared.security.tokens import Tier
from shared.stack import embedded
from shared.stack.ledger import Ledger
from shared.stack.ports import free_ports
from shared.stack.stack import LocalStack
from shared.stack.supervisor import ChildSpec, Supervisor
from shared.state.archive import RoomArchive
from shared.state.commands import Knocked, command_channel, decode_command, send_command
from shared.state.connect import connect_redis_cluster
from shared.state.control import Change, RoomControl
from shared.state.keys import log_key
from shared.state.limits import Admission, Holder, Limits
from shared.state.presence import Attendance, Entrance, Seat
from shared.state.rooms import Appended, Outcome, RoomLog, Submission
from shared.state.waiting import WaitingRoom
from tests.conftest import child_environ
from tests.support import mongodb

ROOMS = [f"abcdefghj{letter}" for letter in "abcdefghkmnp"]
SLOTS = 16384


def _spec(number: int, port: int, data: Path) -> ChildSpec:
    plain = embedded.valkey(port=port, data=data, environ=child_environ())
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-require-full-coverage", "no")
    return ChildSpec(name=f"shard-{number}", argv=(*plain.argv, *options), ready=plain.ready, environ=child_environ())


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shards(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[str, Supervisor]]:
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "logs").mkdir()
    supervisor = Supervisor(logs=folder / "logs", ledger=Ledger(folder / "processes.json"), report=lambda _: None)
    # The bus listens 10,000 ports above; both must be free.
    ports = [port for port in free_ports(40) if port < 22_000][:3]
    try:
        for number, port in enumerate(ports):
            await supervisor.start(_spec(number, port, folder / str(number)))
        await _meet(ports)
        yield f"redis://127.0.0.1:{ports[0]}", supervisor
    finally:
        await supervisor.close()


async def _meet(ports: list[int]) -> None:
    clients = [Redis(port=port) for port in ports]
    for number, client in enumerate(clients):
        first, last = SLOTS * number // len(ports), SLOTS * (number + 1) // len(ports) - 1
        await _command(client, "CLUSTER", "ADDSLOTSRANGE", first, last)
        await _command(client, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for port in ports[1:]:
        await _command(clients[0], "CLUSTER", "MEET", "127.0.0.1", port)
    async with asyncio.timeout(20):
        for client in clients:
            while (
                b"cluster_known_nodes:3" not in (info := await _command(client, "CLUSTER", "INFO"))
                or b"cluster_state:ok" not in info
            ):
                await asyncio.sleep(0.05)
    for client in clients:
        await client.aclose()


async def _command(client: Redis, *words: str | int) -> Any:  # noqa: ANN401 - whatever the server says
    return await client.execute_command(*words)  # type: ignore[no-untyped-call]


@pytest_asyncio.fixture(loop_scope="session")
async def cluster(shards: tuple[str, Supervisor]) -> AsyncIterator[RedisCluster]:
    client = connect_redis_cluster(shards[0])
    await client.flushall(target_nodes=RedisCluster.PRIMARIES)
    yield client
    await client.aclose()


def _chat(number: int) -> Submission:
    return Submission(ChatEvent("p1", "Ana", number, "hi"), 1_000_000)


async def test_logs_of_rooms_on_all_shards_work_and_survive_a_script_flush(cluster: RedisCluster) -> None:
    log, control = RoomLog(cluster), RoomControl(cluster)
    nodes = [cluster.get_node_from_key(log_key(room)) for room in ROOMS]
    assert len({node.port for node in nodes if node}) == 3
    for room in ROOMS:
        await log.append(room, [_chat(1)])
    await cluster.script_flush()
    for room in ROOMS:
        await control.configure(room, Change(title="t", blocked_terms=["fish"]))
        results = await log.append(room, [_chat(1), _chat(2)])
        assert [result.outcome for result in results] == [Outcome.DUPLICATE, Outcome.APPENDED]
        await control.ban(room, "p2")
        await control.delete(room, results[0].value)
        await log.stream_started(room, session="s", worker="w", name="Ana")
        position = await log.resume(room)
        assert len(position.entries) == 5
        assert await log.confirm(room, position.epoch, position.offset) == position.epoch
        assert len((await log.page(room, limit=10)).entries) == 6


async def test_presence_the_waiting_room_and_limits_work(cluster: RedisCluster) -> None:
    attendance, limits = Attendance(cluster, "f1"), Limits(cluster)
    for room in ROOMS:
        seat = Seat("c", "p1", "Ana", "viewer", watches=True)
        await RoomControl(cluster).configure(room, Change(waiting_room=True))
        assert (await attendance.enter(room, seat)).outcome is Entrance.KNOCKED
        assert (await WaitingRoom(cluster).knocks(room)).total == 1
        assert await WaitingRoom(cluster).admit(room) == ["p1"]
        assert (await attendance.enter(room, seat)).outcome is Entrance.SEATED
        assert (await attendance.refresh(room)).viewers == 1
        assert (await attendance.people(room)).total == 1
        holder = Holder(room, Tier.ANONYMOUS)
        assert (await limits.open(holder, "c", resumes=False)).outcome is Admission.OPEN
        assert (await limits.open(holder, "d", resumes=True)).displaced == "c"
        assert not await limits.hold(holder, "c")
        await limits.close(holder, "d")
        assert (await limits.admit_address(room)).outcome is Admission.OPEN
        assert await limits.offended(identity=room, address=room) == 0


async def test_commands_go_over_the_rooms_own_shard(cluster: RedisCluster) -> None:
    for room in ROOMS[:4]:
        node = cluster.get_node_from_key(command_channel(room))
        assert node is not None
        subscriber = Redis(host=node.host, port=int(node.port), protocol=3)
        async with subscriber.pubsub() as pubsub:
            await pubsub.ssubscribe(command_channel(room))
            await pubsub.get_message(timeout=2)
            await send_command(cluster, room, Knocked())
            message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=2)
        await subscriber.aclose()
        assert message is not None
        assert decode_command(message["data"]) == Knocked()


async def test_rooms_on_all_shards_are_archived_also_after_a_shard_was_killed(
    cluster: RedisCluster, shards: tuple[str, Supervisor], state: LocalStack
) -> None:
    client = mongodb.connect(state.mongodb_uri)
    await mongodb.empty(client, state.mongodb_uri, "cluster")
    archive, log = RoomArchive(client, "cluster"), RoomLog(cluster)
    archiver = asyncio.create_task(mongodb.archiver(cluster, client, "cluster").run())
    try:
        offsets = {room: [one.value for one in await log.append(room, [_chat(1), _chat(2)])] for room in ROOMS}
        await _until(archive, offsets)
        child = shards[1].children["shard-1"]
        child.send(signal.SIGKILL)
        for room in ROOMS:
            async with asyncio.timeout(20):
                while not (results := await _tried(log, room)):
                    await asyncio.sleep(0.1)
            offsets[room] += [one.value for one in results]
        await _until(archive, offsets)
    finally:
        archiver.cancel()
        await asyncio.gather(archiver, return_exceptions=True)
        await client.close()


async def _tried(log: RoomLog, room: str) -> list[Appended]:
    try:
        return await log.append(room, [_chat(3)])
    except (RedisError, OSError):
        return []


async def _until(archive: RoomArchive, offsets: dict[str, list[int]]) -> None:
    async with asyncio.timeout(30):
        for room, expected in offsets.items():
            while [offset for offset, _ in await archive.page(room, limit=10)] != expected:
                await asyncio.sleep(0.1)
