"""The door and the room's order, as people see them."""

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import People
from tests.e2e.person import TIMEOUT_MS

pytestmark = pytest.mark.e2e


async def test_a_viewer_waits_is_let_in_and_what_they_should_not_have_said_is_taken_back(people: People) -> None:
    ana, bo = await people("Ana"), await people("Bo", phone=True)
    code = await ana.create_room("By invitation")
    await ana.go_live()
    await ana.by("setting-waiting-room").click()
    await ana.say("nobody outside reads this")
    await bo.page.goto(f"{bo.url}/r/{code}")
    await bo.by("name-input").fill("Bo")
    await bo.by("join-room").click()
    await expect(bo.by("waiting-screen")).to_be_visible(timeout=TIMEOUT_MS)
    await expect(bo.by("chat-message")).to_have_count(0)
    await expect(ana.by("knocks")).to_contain_text("Bo", timeout=TIMEOUT_MS)
    await ana.by("admit-all").click()
    await bo.watches()
    await bo.sees_chat("nobody outside reads this")

    await bo.by("reaction-0").click()
    await expect(ana.by("reactions")).to_be_attached(timeout=TIMEOUT_MS)
    await bo.say("something rude")
    await ana.sees_chat("something rude")
    await ana.by("message-menu").last.click()
    await ana.by("message-delete").click()
    for person in (ana, bo):
        await expect(person.by("chat-message").filter(has_text="something rude")).to_have_count(0, timeout=TIMEOUT_MS)


async def test_a_ban_shows_the_door(people: People) -> None:
    ana, bo = await people("Ana"), await people("Bo")
    code = await ana.create_room("Strict")
    await bo.join_by_link(code)
    await bo.say("spam")
    await ana.sees_chat("spam")
    await ana.by("message-menu").last.click()
    await ana.by("message-ban").click()
    await expect(bo.page.get_by_text("may not be in this room").first).to_be_visible(timeout=TIMEOUT_MS)
