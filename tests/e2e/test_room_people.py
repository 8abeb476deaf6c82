"""Gifts, the list of people, what a moderator takes back, and the room's settings, as people see them."""

import asyncio

import pytest
from playwright.async_api import expect

from tests.e2e.conftest import People
from tests.e2e.person import TIMEOUT_MS, Person

pytestmark = pytest.mark.e2e


async def test_gifts_are_seen_by_everyone_and_refused_in_words_until_a_time_out_is_ended(people: People) -> None:
    ana, bo = await people("Ana"), await people("Bo", phone=True)
    code = await ana.create_room("Generous")
    await bo.join_by_link(code)
    await _gives(bo, "rose", 3)
    await _sees_gift(bo, "You gave 3 \u00d7 Rose", "sent")
    await _sees_gift(ana, "Bo gave 3 \u00d7 Rose", "sent")
    # Who gives is not who streams.
    await expect(ana.by("gift-open")).to_have_count(0)

    await ana.by("people-open").click()
    row = ana.by("person").filter(has_text="Bo")
    await row.get_by_test_id("person-menu").click()
    await row.get_by_test_id("person-time-out").click()
    await expect(ana.by("sanction")).to_contain_text("Bo", timeout=TIMEOUT_MS)
    await _gives(bo, "crown", 1)
    refused = bo.by("chat-gift").filter(has_text="Crown")
    await expect(refused).to_contain_text("Not given: you may not give gifts for 10 min", timeout=TIMEOUT_MS)

    await row.get_by_test_id("person-lift").click()
    await expect(ana.by("sanction")).to_have_count(0, timeout=TIMEOUT_MS)
    await refused.get_by_role("button", name="Try again").click()
    await _sees_gift(bo, "You gave Crown", "sent")
    await ana.page.keyboard.press("Escape")
    await _sees_gift(ana, "Bo gave Crown", "sent")
    await expect(ana.by("chat-gift")).to_have_count(2)
    _nothing_went_wrong(ana, bo)


async def test_people_are_listed_with_their_roles_and_a_ban_is_lifted_after_a_reload(people: People) -> None:
    ana, bo, cy = await people("Ana"), await people("Bo"), await people("Cy", phone=True)
    code = await ana.create_room("Forgiving")
    await bo.join_by_link(code)
    await cy.join_by_link(code)
    await bo.say("spam")
    await ana.sees_chat("spam")

    await cy.by("people-open").click()
    await expect(cy.by("people-total")).to_have_text("3", timeout=TIMEOUT_MS)
    await expect(cy.by("person").filter(has_text="Ana")).to_contain_text("Streamer")
    await expect(cy.by("person").filter(has_text="Cy")).to_contain_text("you")
    await expect(cy.by("person-ban")).to_have_count(0)
    await cy.by("people-close").click()
    await expect(cy.by("people-panel")).to_have_count(0)

    await ana.by("people-open").click()
    row = ana.by("person").filter(has_text="Bo")
    await row.get_by_test_id("person-menu").click()
    await row.get_by_test_id("person-ban").click()
    await expect(bo.page.get_by_text("may not be in this room").first).to_be_visible(timeout=TIMEOUT_MS)
    await ana.page.keyboard.press("Escape")
    # A join brings the last hundred events: what was decided before comes from the history.
    field = ana.by("chat-input")
    for number in range(100):
        await field.fill(f"message {number}")
        await field.press("Enter")
    await ana.sees_chat("message 99")
    await ana.page.reload()
    await ana.connected()
    await ana.sees_chat("message 0")
    await expect(ana.by("notice").filter(has_text="banned")).to_have_count(0)
    await ana.by("people-open").click()
    banned = ana.by("sanction").filter(has_text="Bo")
    await expect(banned).to_contain_text("Banned", timeout=TIMEOUT_MS)
    await banned.get_by_test_id("person-lift").click()
    await expect(ana.by("sanction")).to_have_count(0, timeout=TIMEOUT_MS)
    await bo.page.reload()
    await bo.connected()
    await bo.say("sorry")
    await cy.sees_chat("sorry")


async def test_settings_of_the_studio_hold_for_viewers_and_are_known_after_a_reload(people: People) -> None:
    ana, bo, cy = await people("Ana"), await people("Bo"), await people("Cy")
    code = await ana.create_room("House rules")
    await ana.connected()
    await ana.by("setting-category").fill("Chess")
    # What is typed stays while other things happen in the room.
    await bo.join_by_link(code)
    await expect(ana.by("viewer-count")).to_have_text("1", timeout=TIMEOUT_MS)
    await ana.by("setting-category").press("Enter")
    await expect(bo.by("room-category")).to_contain_text("Chess", timeout=TIMEOUT_MS)
    await ana.by("setting-terms").fill("spoiler, the end")
    await ana.by("add-term").click()
    await expect(ana.by("blocked-term")).to_have_count(2)

    # The waiting room is there, and nobody waits in it.
    await ana.by("setting-waiting-room").click()
    await ana.by("setting-auto-accept").click()
    await expect(bo.by("notice").filter(has_text="wait to be let in")).to_be_visible(timeout=TIMEOUT_MS)
    await cy.join_by_link(code)
    await bo.say("here comes a SPOILER")
    refused = bo.by("chat-message").filter(has_text="SPOILER")
    await expect(refused).to_contain_text("a term that is blocked here", timeout=TIMEOUT_MS)
    await ana.page.reload()
    await ana.connected()
    await expect(ana.by("blocked-term")).to_have_count(2)
    await expect(ana.by("setting-auto-accept")).to_be_checked()
    await expect(ana.by("setting-category")).to_have_value("Chess")
    await ana.page.get_by_role("button", name="Allow “spoiler” again").click()
    await expect(ana.by("blocked-term")).to_have_count(1)
    await refused.get_by_role("button", name="Try again").click()
    await ana.sees_chat("here comes a SPOILER")


async def test_nobody_types_any_more_once_their_message_is_there(people: People) -> None:
    ana, bo = await people("Ana"), await people("Bo")
    code = await ana.create_room("Quick")
    await bo.join_by_link(code)
    await bo.by("chat-input").press_sequentially("hello")
    await expect(ana.by("typing")).to_contain_text("Bo is typing", timeout=TIMEOUT_MS)
    await bo.by("chat-send").click()
    await ana.sees_chat("hello")
    await expect(ana.by("typing")).to_have_count(0, timeout=1_000)
    # Typed and sent at once: the notice of it comes behind the message.
    await asyncio.sleep(5)
    await bo.say("quick")
    await ana.sees_chat("quick")
    for _ in range(10):
        await expect(ana.by("typing")).to_have_count(0, timeout=1)
        await asyncio.sleep(0.1)


async def _gives(person: Person, gift: str, quantity: int) -> None:
    await person.by("gift-open").click()
    await person.by(f"gift-{gift}").click()
    await person.by("gift-quantity").fill(str(quantity))
    await person.by("gift-give").click()
    await expect(person.by("gift-picker")).to_have_count(0)


async def _sees_gift(person: Person, text: str, status: str) -> None:
    row = person.by("chat-gift").filter(has_text=text)
    await expect(row).to_have_attribute("data-status", status, timeout=TIMEOUT_MS)


def _nothing_went_wrong(*people: Person) -> None:
    for person in people:
        assert not [line for line in person.console if "error" in line.lower()], person.console
