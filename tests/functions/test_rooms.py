"""Rooms over HTTP: found, changed, scheduled, ended, deleted; and requests that are conditional or sent twice."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from functions.archive.reaper import Reaper
from shared.protocol import messages as m
from shared.stack.stack import LocalStack
from shared.state.audience import AudienceHistory
from shared.state.connect import connect_redis
from shared.state.directory import RoomDirectory
from shared.state.fleet import Fleet
from shared.state.notices import Sample
from shared.state.rooms import RoomLog, Submission
from tests.support import mongodb
from tests.support.room_client import Person, guest, joined

SOON = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2)


async def _eventually(http: httpx.AsyncClient, path: str, holds: Any, **more: Any) -> Any:  # noqa: ANN401 - JSON
    """The answer, once it is as wanted: the archive works in the background."""
    async with asyncio.timeout(20):
        while True:
            body = (await http.get(path, **more)).json()
            if holds(body):
                return body
            await asyncio.sleep(0.1)


async def _made(owner: Person, **fields: Any) -> tuple[str, dict[str, str]]:  # noqa: ANN401 - JSON
    response = await owner.http.post("/v1/rooms", json={"title": "Late night", **fields}, headers=owner.headers)
    assert response.status_code == 201, response.text
    body = response.json()
    return body["room"]["id"], {"authorization": f"Bearer {body['token']}"}


def _code(response: httpx.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return str(response.json()["code"])


async def test_a_live_room_is_listed_by_category_and_words_until_it_is_not_live(
    http: httpx.AsyncClient, stack: LocalStack
) -> None:
    ana = await guest(http, "Ana Quixotic")
    room, _ = await _made(ana, title="Modular jam", category="Music")
    redis = connect_redis(stack.redis_url)
    log = RoomLog(redis)
    await log.stream_started(room, session="w-1", worker="worker1", name="Ana")

    def there(body: dict[str, Any]) -> bool:
        return any(found["id"] == room for found in body["rooms"])

    for query in ({"q": "modu jam"}, {"q": "quix"}, {"category": "music"}, {"category": "MUSIC", "q": "jam"}):
        body = await _eventually(http, "/v1/rooms", there, params=query)
        assert all(found["state"] == "live" for found in body["rooms"])
    for query in ({"q": "modular rain"}, {"category": "Talk"}, {"state": "scheduled"}):
        assert not there((await http.get("/v1/rooms", params=query)).json())
    await log.stream_ended(room, session="w-1", reason="left")
    await _eventually(http, "/v1/rooms", lambda body: not there(body), params={"q": "modu jam"})
    await redis.aclose()


async def test_a_room_is_scheduled_listed_and_taken_off_again(http: httpx.AsyncClient) -> None:
    ana = await guest(http, "Ana")
    room, _ = await _made(ana, title="Zebra premiere", scheduled_at=SOON.isoformat())
    found = (await http.get("/v1/rooms", params={"state": "scheduled", "q": "zebra"})).json()["rooms"]
    assert [(one["id"], one["state"]) for one in found] == [(room, "scheduled")]
    read = (await http.get(f"/v1/rooms/{room}")).json()
    assert datetime.fromisoformat(read["scheduled_at"]) == SOON
    changed = await http.patch(f"/v1/rooms/{room}", json={"scheduled_at": None}, headers=ana.headers)
    assert (changed.json()["state"], changed.json()["scheduled_at"]) == ("open", None)
    assert (await http.get("/v1/rooms", params={"state": "scheduled", "q": "zebra"})).json()["rooms"] == []
    for wrong in ((SOON - timedelta(days=9)), (SOON + timedelta(days=800))):
        refused = await http.patch(f"/v1/rooms/{room}", json={"scheduled_at": wrong.isoformat()}, headers=ana.headers)
        assert _code(refused, 400) == "malformed"


async def test_own_rooms_are_paged_newest_first_listed_or_not(http: httpx.AsyncClient) -> None:
    ana = await guest(http, "Ana")
    made = [(await _made(ana, listed=number % 2 == 0))[0] for number in range(5)]
    seen: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        page = (await http.get("/v1/my/rooms", params=params, headers=ana.headers)).json()
        assert len(page["rooms"]) <= 2
        seen += [room["id"] for room in page["rooms"]]
        if page["next"] is None:
            break
        params["cursor"] = page["next"]
    assert seen == made[::-1]
    assert _code(await http.get("/v1/my/rooms"), 401) == "unauthorized"


@pytest.mark.parametrize(
    "params", [{"limit": 0}, {"limit": 101}, {"limit": "x"}, {"cursor": "!"}, {"cursor": "a" * 401}, {"state": "ended"}]
)
async def test_a_page_that_cannot_be_is_a_problem(http: httpx.AsyncClient, params: dict[str, Any]) -> None:
    assert _code(await http.get("/v1/rooms", params=params), 400) in {"malformed", "cursor_invalid"}


async def test_a_change_reaches_the_room_the_reader_and_the_lists(http: httpx.AsyncClient, stack: LocalStack) -> None:
    ana, bo = await guest(http, "Ana"), await guest(http, "Bo")
    room, owner = await _made(ana, scheduled_at=SOON.isoformat(), category="Music")
    async with joined(stack.functions[1].url, room, owner["authorization"].removeprefix("Bearer ")) as socket:
        change = {"title": "Yellow submarine", "slow_mode_s": 9, "description": "All together."}
        changed = await http.patch(f"/v1/rooms/{room}", json=change, headers=ana.headers)
        assert changed.status_code == 200, changed.text
        body = changed.json()
        assert {name: body[name] for name in change} == change
        assert body["category"] == "Music"
        await socket.until(lambda: any(isinstance(event, m.SettingsChanged) for _, event in socket.events))
    listed = (await http.get("/v1/rooms", params={"state": "scheduled", "q": "yellow"})).json()["rooms"]
    assert [(one["id"], one["category"]) for one in listed] == [(room, "Music")]
    refused = await http.patch(f"/v1/rooms/{room}", json=change, headers=bo.headers)
    assert _code(refused, 403) == "forbidden"
    for wrong in ({"title": ""}, {"slow_mode_s": -1}, {"owner": "me"}, {"blocked_terms": ["x" * 65]}):
        assert _code(await http.patch(f"/v1/rooms/{room}", json=wrong, headers=ana.headers), 400) == "malformed"
    problem = (await http.patch(f"/v1/rooms/{room}", json={"slow_mode_s": -1}, headers=ana.headers)).json()
    assert [error["field"] for error in problem["errors"]] == ["slow_mode_s"]


async def test_what_is_known_is_not_sent_again_and_a_stale_change_is_refused(http: httpx.AsyncClient) -> None:
    ana = await guest(http, "Ana")
    room, _ = await _made(ana)
    first = await http.get(f"/v1/rooms/{room}")
    tag = first.headers["etag"]
    again = await http.get(f"/v1/rooms/{room}", headers={"if-none-match": f'"other", W/{tag}'})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    races = [
        http.patch(f"/v1/rooms/{room}", json=body, headers=ana.headers | {"if-match": tag})
        for body in ({"title": "One"}, {"title": "Two"}, {"description": "Three"})
    ]
    statuses = sorted([(await race).status_code for race in asyncio.as_completed(races)])
    # A description and a title are kept in different places, and may both be first.
    assert statuses in ([200, 412, 412], [200, 200, 412])
    stale = await http.patch(f"/v1/rooms/{room}", json={"title": "Late"}, headers=ana.headers | {"if-match": tag})
    assert _code(stale, 412) == "precondition_failed"
    assert (await http.get(f"/v1/rooms/{room}", headers={"if-none-match": tag})).status_code == 200
    assert _code(await http.delete(f"/v1/rooms/{room}", headers=ana.headers | {"if-match": tag}), 412)
    anyhow = await http.patch(f"/v1/rooms/{room}", json={"title": "Late"}, headers=ana.headers | {"if-match": "*"})
    assert anyhow.json()["title"] == "Late"


async def test_a_post_with_a_key_is_carried_out_once(http: httpx.AsyncClient, stack: LocalStack) -> None:
    ana, bo = await guest(http, "Ana"), await guest(http, "Bo")
    headers = ana.headers | {"idempotency-key": "first-of-ana"}
    async with httpx.AsyncClient(base_url=stack.functions[1].url) as other:
        races = [
            one.post("/v1/rooms", json={"title": "Once"}, headers=headers) for one in (http, other, http, other, http)
        ]
        answers = await asyncio.gather(*races)
    assert {answer.status_code for answer in answers} <= {201, 409}
    again = await http.post("/v1/rooms", json={"title": "Once"}, headers=headers)
    assert again.headers["idempotency-replayed"] == "true"
    made = {answer.json()["room"]["id"] for answer in [*answers, again] if answer.status_code == 201}
    assert len(made) == 1
    assert again.headers["location"] == f"/v1/rooms/{made.pop()}"
    assert len((await http.get("/v1/my/rooms", headers=ana.headers)).json()["rooms"]) == 1
    other_body = await http.post("/v1/rooms", json={"title": "Twice"}, headers=headers)
    assert _code(other_body, 422) == "idempotency_key_reused"
    # Somebody else's key of the same name is another one.
    theirs = await http.post(
        "/v1/rooms", json={"title": "Once"}, headers=bo.headers | {"idempotency-key": "first-of-ana"}
    )
    assert theirs.json()["room"]["owner"]["name"] == "Bo"
    too_long = await http.post("/v1/rooms", json={"title": "x"}, headers=ana.headers | {"idempotency-key": "k" * 256})
    assert _code(too_long, 400) == "idempotency_key_invalid"
    # What was refused was not done: the key is free.
    retried = ana.headers | {"idempotency-key": "second-of-ana"}
    assert _code(await http.post("/v1/rooms", json={"title": ""}, headers=retried), 400) == "malformed"
    assert (await http.post("/v1/rooms", json={"title": "Now"}, headers=retried)).status_code == 201


async def test_who_makes_too_many_rooms_is_told_when_to_go_on(http: httpx.AsyncClient) -> None:
    ana = await guest(http, "Ana")
    answers = [await http.post("/v1/rooms", json={"title": "x"}, headers=ana.headers) for _ in range(45)]
    refused = answers[-1]
    assert _code(refused, 429) == "rate_limited"
    assert int(refused.headers["retry-after"]) >= 1
    assert refused.headers["ratelimit"].startswith('"create";r=0;t=')
    assert (await http.get("/v1/my/rooms", headers=ana.headers)).status_code == 200


async def test_an_ended_room_takes_no_stream_until_it_is_opened(http: httpx.AsyncClient, stack: LocalStack) -> None:
    ana = await guest(http, "Ana")
    room, owner = await _made(ana)
    redis = connect_redis(stack.redis_url)
    await RoomLog(redis).stream_started(room, session="worker1-x", worker="worker1", name="Ana")
    ended = await http.post(f"/v1/rooms/{room}/end", headers=ana.headers)
    assert (ended.json()["state"], ended.json()["live"]) == ("ended", False)
    offer = {"content": "v=0\r\n", "headers": owner | {"content-type": "application/sdp"}}
    assert _code(await http.post(f"/v1/rooms/{room}/whip", **offer), 409) == "room_ended"  # type: ignore[arg-type]
    history = await _eventually(
        http, f"/v1/rooms/{room}/messages", lambda body: len(body["messages"]) == 2, headers=owner
    )
    assert history["messages"][1]["fields"]["reason"] == "ended"
    reopened = await http.post(f"/v1/rooms/{room}/reopen", headers=ana.headers)
    assert reopened.json()["state"] == "open"
    assert _code(await http.post(f"/v1/rooms/{room}/whip", **offer), 422) == "sdp_refused"  # type: ignore[arg-type]
    await redis.aclose()


async def test_a_stream_whose_worker_is_gone_for_good_is_ended(http: httpx.AsyncClient, stack: LocalStack) -> None:
    ana = await guest(http, "Ana")
    lost, _ = await _made(ana, listed=False)
    kept, _ = await _made(ana, listed=False)
    redis = connect_redis(stack.redis_url)
    log = RoomLog(redis)
    await log.stream_started(lost, session="gone-x", worker="gone", name="Ana")
    await log.stream_started(kept, session=f"{stack.workers[0].name.replace('-', '')}-x", worker="worker1", name="Ana")
    async with mongodb.connect(stack.mongodb_uri) as client:
        directory = RoomDirectory(client, "headrace")
        patient, hasty = (Reaper(directory, log, Fleet(redis), patience_s) for patience_s in (60.0, 0.0))
        async with asyncio.timeout(20):
            while {lost, kept} - {room for room, _ in await directory.live_streams(5000)}:
                await asyncio.sleep(0.1)
        assert await patient.look() == 0
        assert await hasty.look() >= 1
    assert await log.live(lost) is None
    assert await log.live(kept) is not None
    await log.stream_ended(kept, session=f"{stack.workers[0].name.replace('-', '')}-x", reason="left")
    await redis.aclose()


async def test_a_deleted_room_is_gone_for_those_inside_and_those_outside(
    http: httpx.AsyncClient, stack: LocalStack
) -> None:
    ana, bo = await guest(http, "Ana"), await guest(http, "Bo")
    room, owner = await _made(ana, scheduled_at=SOON.isoformat(), title="Doomed walrus")
    token = await bo.room_token(room)
    async with joined(stack.functions[1].url, room, token) as inside:
        await inside.say("hello")
        assert (await http.delete(f"/v1/rooms/{room}", headers=ana.headers)).status_code == 204
        await inside.expect(m.Error, lambda error: error.code == 5)
        await inside.socket.wait_closed()
        assert inside.socket.close_code == 4404
    assert _code(await http.get(f"/v1/rooms/{room}"), 404) == "room_unknown"
    assert _code(await http.delete(f"/v1/rooms/{room}", headers=ana.headers), 404) == "room_unknown"
    assert (await http.get("/v1/rooms", params={"state": "scheduled", "q": "walrus"})).json()["rooms"] == []
    assert (await http.get("/v1/my/rooms", headers=ana.headers)).json()["rooms"] == []
    # The last one's seat is given up a moment after the socket.
    await _eventually(http, f"/v1/rooms/{room}/participants", lambda body: body["total"] == 0, headers=owner)


async def test_participants_and_sanctions_are_listed_page_by_page(http: httpx.AsyncClient, stack: LocalStack) -> None:
    ana = await guest(http, "Ana")
    room, owner = await _made(ana)
    people = [await guest(http, f"Viewer {number}") for number in range(3)]
    path = f"/v1/rooms/{room}"
    async with (
        joined(stack.functions[0].url, room, await people[0].room_token(room)),
        joined(stack.functions[1].url, room, await people[1].room_token(room)),
        joined(stack.functions[0].url, room, await people[2].room_token(room)),
    ):
        first = (await http.get(f"{path}/participants", params={"limit": 2}, headers=owner)).json()
        second = (
            await http.get(f"{path}/participants", params={"limit": 2, "cursor": first["next"]}, headers=owner)
        ).json()
        assert (first["total"], second["next"]) == (3, None)
        listed = [person["id"] for person in [*first["participants"], *second["participants"]]]
        assert listed == sorted(person.id for person in people)
    for number, person in enumerate(people[:2]):
        body = {"action": "ban"} if number else {"action": "time_out", "seconds": 300}
        done = await http.put(f"{path}/sanctions/{person.id}", json=body, headers=owner)
        assert done.status_code == 200, done.text
        assert (done.json()["until"] is None) == (body["action"] == "ban")
    listed = (await http.get(f"{path}/sanctions", params={"limit": 1}, headers=owner)).json()
    rest = (await http.get(f"{path}/sanctions", params={"limit": 5, "cursor": listed["next"]}, headers=owner)).json()
    assert [one["action"] for one in [*listed["sanctions"], *rest["sanctions"]]] == ["time_out", "ban"]
    assert (await http.delete(f"{path}/sanctions/{people[1].id}", headers=owner)).status_code == 204
    assert len((await http.get(f"{path}/sanctions", headers=owner)).json()["sanctions"]) == 1
    viewer = {"authorization": f"Bearer {await people[2].room_token(room)}"}
    assert _code(await http.get(f"{path}/sanctions", headers=viewer), 403) == "forbidden"
    itself = await http.put(f"{path}/sanctions/{ana.id}", json={"action": "ban"}, headers=owner)
    assert _code(itself, 403) == "forbidden"


async def test_who_waits_is_let_in_over_http(http: httpx.AsyncClient, stack: LocalStack) -> None:
    ana, bo = await guest(http, "Ana"), await guest(http, "Bo")
    room, owner = await _made(ana)
    await http.patch(f"/v1/rooms/{room}", json={"waiting_room": True}, headers=ana.headers)
    token = await bo.room_token(room)

    async def come_in() -> None:
        async with joined(stack.functions[1].url, room, token):
            pass

    entering = asyncio.create_task(come_in())
    waiting = await _eventually(http, f"/v1/rooms/{room}/waiting", lambda body: body["total"] == 1, headers=owner)
    assert waiting["waiting"] == [{"id": bo.id, "name": "Bo"}]
    left = await http.post(f"/v1/rooms/{room}/waiting", json={"accept": True, "participant": bo.id}, headers=owner)
    assert left.json() == {"total": 0, "waiting": []}
    await entering


async def test_gifts_are_listed_added_up_and_counted(http: httpx.AsyncClient, stack: LocalStack) -> None:
    ana = await guest(http, "Ana")
    room, owner = await _made(ana)
    redis = connect_redis(stack.redis_url)
    gifts = [("p1", "rose", 2), ("p2", "crown", 1), ("p1", "rose", 3)]
    await RoomLog(redis).append(
        room, [Submission(m.GiftEvent(who, who, key, gift, n), 1000) for key, (who, gift, n) in enumerate(gifts)]
    )
    totals = await _eventually(
        http, f"/v1/rooms/{room}/gifts/totals", lambda body: body["presents"] == 3, headers=owner
    )
    assert totals["gifts"] == [
        {"gift": "rose", "quantity": 5, "presents": 2},
        {"gift": "crown", "quantity": 1, "presents": 1},
    ]
    assert [(giver["sender"], giver["quantity"]) for giver in totals["givers"]] == [("p1", 5), ("p2", 1)]
    page = (await http.get(f"/v1/rooms/{room}/gifts", params={"limit": 2}, headers=owner)).json()
    rest = (await http.get(f"/v1/rooms/{room}/gifts", params={"cursor": page["next"]}, headers=owner)).json()
    listed = [(gift["sender"], gift["gift"], gift["quantity"]) for gift in [*page["gifts"], *rest["gifts"]]]
    assert listed == gifts[::-1]
    statistics = (await http.get(f"/v1/rooms/{room}/statistics", headers=owner)).json()
    assert (statistics["gifts"], statistics["presents"], statistics["state"]) == (6, 3, "open")
    await redis.aclose()


async def test_the_audience_over_time_is_drawn_together_in_steps(http: httpx.AsyncClient, stack: LocalStack) -> None:
    ana = await guest(http, "Ana")
    room, owner = await _made(ana)
    start = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
    slot = int(start.timestamp()) // 10
    async with mongodb.connect(stack.mongodb_uri) as client:
        history, directory = AudienceHistory(client, "headrace"), RoomDirectory(client, "headrace")
        samples = [
            # A minute before, two within, one an hour later in which the count of messages began anew.
            Sample(room, slot - 6, 9, 9, 9, 10, 90, 0, {}),
            *(Sample(room, slot + n, n, 9, 9, 10 + n, 100, slot + n - 1, {720: n, 0: 1}) for n in range(12)),
            Sample(room, slot + 360, 5, 9, 9, 4, 200, 0, {}),
        ]
        await history.note(samples)
        await history.note(samples)
        assert await directory.find(room)
    query = {"start": start.isoformat(), "end": (start + timedelta(hours=2)).isoformat()}
    by_minute = (await http.get(f"/v1/rooms/{room}/analytics", params=query, headers=owner)).json()
    assert [(p["peak"], p["viewers"], p["messages"], p["watch_s"]) for p in by_minute["points"]] == [
        (5, 2.5, 5, 150),
        (11, 8.5, 6, 510),
        (5, 5.0, 4, 50),
    ]
    assert by_minute["points"][1]["qualities"] == {"720": 9.0, "0": 1.0}
    by_hour = (await http.get(f"/v1/rooms/{room}/analytics", params=query | {"step": "3600"}, headers=owner)).json()
    assert [(p["peak"], p["messages"], p["watch_s"]) for p in by_hour["points"]] == [(11, 11, 660), (5, 4, 50)]
    assert (by_hour["peak"], by_hour["messages"], by_hour["watch_s"]) == (11, 15, 710)
    for wrong in (
        {"end": (start - timedelta(hours=1)).isoformat(), "start": start.isoformat()},
        {"end": (start + timedelta(days=3)).isoformat(), "start": start.isoformat()},
        {"start": "2026-11-20T12:00:00"},
        {"step": "61"},
    ):
        assert _code(await http.get(f"/v1/rooms/{room}/analytics", params=wrong, headers=owner), 400) == "malformed"


async def test_a_room_with_people_is_sampled_and_its_figures_are_kept(
    http: httpx.AsyncClient, stack: LocalStack
) -> None:
    ana, bo = await guest(http, "Ana"), await guest(http, "Bo")
    room, owner = await _made(ana)
    async with joined(stack.functions[0].url, room, await bo.room_token(room)) as socket:
        await socket.say("hello")
        body = await _eventually(http, f"/v1/rooms/{room}/analytics", lambda body: body["watch_s"] > 0, headers=owner)
        assert (body["peak"], body["messages"], body["points"][-1]["viewers"]) == (1, 1, 1.0)
        statistics = (await http.get(f"/v1/rooms/{room}/statistics", headers=owner)).json()
    assert (statistics["peak"], statistics["visitors"], statistics["messages"]) == (1, 1, 1)
    assert statistics["watch_s"] >= 10
