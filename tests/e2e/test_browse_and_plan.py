"""The start page and the studio: rooms are found, scheduled, ended and deleted, and their audience is shown."""

import os
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from playwright.async_api import expect

from shared.protocol.messages import ChatEvent, GiftEvent
from shared.stack.stack import LocalStack
from shared.state.audience import AudienceHistory
from shared.state.connect import connect_redis
from shared.state.directory import RoomDirectory, Totals
from shared.state.notices import Sample
from shared.state.rooms import RoomLog, Submission
from tests.e2e.conftest import SCREENSHOTS, People
from tests.e2e.person import Person
from tests.support import mongodb
from tests.support.room_client import guest

pytestmark = pytest.mark.e2e

LIVE = [
    ("Modular synths until sunrise", "Music", "Ana", 412),
    ("Ranked ladder, last games of the season", "Gaming", "Bo", 128),
    ("Sourdough for beginners", "Cooking", "Cleo", 57),
    ("What is new in astronomy, with questions from everybody who is here tonight", "Learning", "Di", 9),
]


async def _fill(http: httpx.AsyncClient, stack: LocalStack) -> None:
    """A few rooms that are live, and one to come."""
    redis = connect_redis(stack.redis_url)
    async with mongodb.connect(stack.mongodb_uri) as client:
        directory = RoomDirectory(client, "headrace")
        for number, (title, category, name, viewers) in enumerate(LIVE):
            owner = await guest(http, name)
            made = await http.post("/v1/rooms", json={"title": title, "category": category}, headers=owner.headers)
            room = made.json()["room"]["id"]
            await directory.note_stream(room, 1_764_000_000_000_000 + number, f"w-{number}")
            await directory.note_audience(room, viewers, Totals(peak=viewers))
        owner = await guest(http, "Eve")
        at = (datetime.now(UTC) + timedelta(days=1)).isoformat()
        await http.post("/v1/rooms", json={"title": "Open stage", "scheduled_at": at}, headers=owner.headers)
    await redis.aclose()


async def _photograph(person: Person, name: str) -> None:
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    await person.page.screenshot(path=os.fspath(SCREENSHOTS / f"{name}.png"), full_page=True)


async def test_live_and_scheduled_rooms_are_found_by_words_and_category(
    http: httpx.AsyncClient, stack: LocalStack, people: People
) -> None:
    await _fill(http, stack)
    for phone in (False, True):
        bo = await people("phone" if phone else "desktop", phone=phone)
        await bo.page.goto(stack.url)
        await expect(bo.by("live-rooms")).to_contain_text("Modular synths")
        await expect(bo.by("scheduled-rooms")).to_contain_text("Open stage")
        await _photograph(bo, f"home-{'phone' if phone else 'desktop'}")
        width = await bo.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert width == 0
        await bo.page.get_by_role("button", name="Cooking").click()
        await expect(bo.by("live-rooms").locator("li")).to_have_count(1)
        await expect(bo.by("live-rooms")).to_contain_text("Sourdough")
        await bo.page.get_by_role("button", name="All").click()
        await bo.by("room-search").fill("ladd seas")
        await expect(bo.by("live-rooms").locator("li")).to_have_count(1)
        await bo.by("room-search").fill("nothing of the kind")
        await expect(bo.page.get_by_text("Nothing live fits that.")).to_be_visible()


async def test_a_streamer_schedules_sees_the_audience_ends_opens_and_deletes(stack: LocalStack, people: People) -> None:
    ana = await people("Ana")
    await ana.page.goto(stack.url)
    await ana.by("name-input").fill("Ana")
    await ana.by("title-input").fill("Late night synths")
    await ana.by("category-input").fill("Music")
    at = datetime.now().astimezone() + timedelta(days=1)
    await ana.by("when-input").fill(at.strftime("%Y-%m-%dT%H:%M"))
    await expect(ana.by("create-room")).to_have_text("Schedule")
    await ana.by("create-room").click()
    await expect(ana.by("plan-scheduled")).to_contain_text("Tomorrow")
    room = ana.page.url.rsplit("/", 1)[1].replace("-", "")
    await _with_an_audience(stack, room)
    await ana.page.reload()
    await expect(ana.by("audience-chart")).to_be_visible()
    await expect(ana.by("figures")).to_contain_text("720p")
    await expect(ana.by("figures")).to_contain_text("214")
    await _photograph_cards(ana, "studio-desktop")
    await ana.page.set_viewport_size({"width": 390, "height": 844})
    await _photograph_cards(ana, "studio-phone")
    width = await ana.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width == 0
    await ana.page.set_viewport_size({"width": 1280, "height": 800})
    await ana.by("plan-end").click()
    await ana.by("plan-confirm").click()
    await expect(ana.by("plan-ended")).to_be_visible()
    async with httpx.AsyncClient(base_url=stack.url) as http:
        assert (await http.get(f"/v1/rooms/{room}")).json()["state"] == "ended"
        await ana.by("plan-reopen").click()
        await expect(ana.by("plan-end")).to_be_visible()
        await ana.by("plan-delete").click()
        await ana.by("plan-confirm").click()
        await expect(ana.by("create-room")).to_be_visible()
        assert (await http.get(f"/v1/rooms/{room}")).status_code == 404


async def _with_an_audience(stack: LocalStack, room: str) -> None:
    """Forty minutes of viewers, and what they did."""
    redis = connect_redis(stack.redis_url)
    now = int(datetime.now(UTC).timestamp()) // 10
    samples = [
        Sample(
            room, now - back, abs(214 - back), 214, 300, 40, 51_000, now - back - 1, {720: 120, 360: 40, 180: 6, 0: 3}
        )
        for back in range(240, 0, -1)
    ]
    async with mongodb.connect(stack.mongodb_uri) as client:
        await AudienceHistory(client, "headrace").note(samples)
        await RoomDirectory(client, "headrace").note_audience(room, 0, Totals(214, 300, 40, 51_000))
    chat = [Submission(ChatEvent("p1", "Bo", n, f"message {n}"), 1000) for n in range(4)]
    await RoomLog(redis).append(room, [*chat, Submission(GiftEvent("p1", "Bo", 1, "rose", 3), 1000)])
    await redis.aclose()


async def _photograph_cards(person: Person, name: str) -> None:
    """What is below the stage, which scrolls by itself."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    for test_id in ("figures", "plan"):
        card = person.by(test_id)
        await card.scroll_into_view_if_needed()
        await card.screenshot(path=os.fspath(SCREENSHOTS / f"{name}-{test_id}.png"))
    await person.page.screenshot(path=os.fspath(SCREENSHOTS / f"{name}.png"))
