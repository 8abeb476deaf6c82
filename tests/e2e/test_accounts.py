"""Accounts on the page: a guest registers, keeps their room, signs out, and signs in in another browser."""

import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from shared.stack.stack import LocalStack
from tests.e2e.conftest import SCREENSHOTS

pytestmark = pytest.mark.e2e

PASSWORD = "three synths and a drum"
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}

_REACHABLE_BY_SCRIPTS = "() => document.cookie + JSON.stringify({...localStorage, ...sessionStorage})"


class Pages:
    """Makes pages, each with a browser profile of its own, and keeps what they looked like."""

    def __init__(self, browser: Browser, url: str, exits: AsyncExitStack) -> None:
        self._browser = browser
        self._url = url
        self._exits = exits

    async def open(self, path: str = "/", *, phone: bool = False) -> Page:
        context = await self._browser.new_context(
            base_url=self._url,
            viewport=PHONE if phone else DESKTOP,  # type: ignore[arg-type]
        )
        self._exits.push_async_callback(context.close)
        page = await context.new_page()
        page.set_default_timeout(20_000)
        await page.goto(path)
        return page

    async def keep(self, page: Page, name: str) -> None:
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=SCREENSHOTS / f"accounts-{name}.png")


@pytest_asyncio.fixture
async def pages(browser: Browser, stack: LocalStack) -> AsyncIterator[Pages]:
    async with AsyncExitStack() as exits:
        yield Pages(browser, stack.url, exits)


async def _sign_up(page: Page, username: str) -> None:
    await page.get_by_test_id("sign-in").click()
    await page.get_by_test_id("other-way").click()
    await page.get_by_test_id("username-input").fill(username)
    await page.get_by_test_id("password-input").fill(PASSWORD)
    await page.get_by_test_id("submit-account").click()


async def _sign_in(page: Page, username: str, password: str = PASSWORD) -> None:
    await page.get_by_test_id("sign-in").click()
    await page.get_by_test_id("username-input").fill(username)
    await page.get_by_test_id("password-input").fill(password)
    await page.get_by_test_id("submit-account").click()


@pytest.mark.parametrize("phone", [False, True], ids=["desktop", "phone"])
async def test_a_guest_registers_in_their_room_and_it_is_theirs_in_another_browser(pages: Pages, phone: bool) -> None:
    kind = "phone" if phone else "desktop"
    username = f"ana.{secrets.token_hex(4)}"
    page = await pages.open(phone=phone)
    await pages.keep(page, f"{kind}-1-home")
    await page.get_by_test_id("name-input").fill("Ana")
    await page.get_by_test_id("title-input").fill("Late night synths")
    await page.get_by_test_id("create-room").click()
    await expect(page.get_by_role("heading", name="Late night synths")).to_be_visible()
    await page.get_by_test_id("sign-in").click()
    await page.get_by_test_id("other-way").click()
    await page.get_by_test_id("username-input").fill(username)
    await page.get_by_test_id("password-input").fill("short")
    await page.get_by_test_id("submit-account").click()
    await expect(page.get_by_role("alert")).to_contain_text("at least 10")
    await pages.keep(page, f"{kind}-2-sign-up")
    await page.get_by_test_id("password-input").fill(PASSWORD)
    await page.get_by_test_id("submit-account").click()
    await expect(page.get_by_test_id("account")).to_be_visible()
    await expect(page.get_by_test_id("sign-in-dialog")).to_have_count(0)
    # Still the streamer's view.
    await expect(page.get_by_role("heading", name="Late night synths")).to_be_visible()
    await expect(page.get_by_test_id("go-live")).to_be_visible()
    room = page.url
    assert "hrr_" not in await page.evaluate(_REACHABLE_BY_SCRIPTS)
    assert "eyJ" not in await page.evaluate(_REACHABLE_BY_SCRIPTS)
    await page.get_by_test_id("account").click()
    await pages.keep(page, f"{kind}-3-menu")
    await page.get_by_test_id("open-profile").click()
    await page.get_by_test_id("profile-name").fill("Ana L.")
    await pages.keep(page, f"{kind}-4-profile")
    await page.get_by_test_id("save-profile").click()
    await expect(page.get_by_test_id("profile-dialog")).to_have_count(0)
    await page.get_by_test_id("account").click()
    await page.get_by_test_id("sign-out").click()
    await expect(page.get_by_test_id("join-room")).to_be_visible()
    await pages.keep(page, f"{kind}-5-signed-out")

    elsewhere = await pages.open(room, phone=phone)
    await _sign_in(elsewhere, username, "not the password")
    await expect(elsewhere.get_by_role("alert")).to_contain_text("do not match")
    await elsewhere.get_by_test_id("password-input").fill(PASSWORD)
    await elsewhere.get_by_test_id("submit-account").click()
    await expect(elsewhere.get_by_test_id("go-live")).to_be_visible()
    await pages.keep(elsewhere, f"{kind}-6-other-browser")
    # A reload gets the next token with the cookie.
    await elsewhere.goto("/")
    await expect(elsewhere.get_by_test_id("account")).to_contain_text("Ana L.")
    await pages.keep(elsewhere, f"{kind}-7-home-signed-in")
    await elsewhere.goto(room)
    await expect(elsewhere.get_by_test_id("go-live")).to_be_visible()


async def test_signing_out_everywhere_reaches_a_page_in_a_room(pages: Pages) -> None:
    username = f"bo.{secrets.token_hex(4)}"
    one = await pages.open()
    await _sign_up(one, username)
    await expect(one.get_by_test_id("account")).to_be_visible()
    await one.get_by_test_id("title-input").fill("A room")
    await one.get_by_test_id("create-room").click()
    await expect(one.get_by_test_id("go-live")).to_be_visible()
    two = await pages.open()
    await _sign_in(two, username)
    await two.get_by_test_id("account").click()
    await two.get_by_test_id("open-profile").click()
    await two.get_by_test_id("sign-out-everywhere").click()
    await expect(two.get_by_test_id("sign-in")).to_be_visible()
    # The room's socket is closed, and its page asks who wants to come in.
    await expect(one.get_by_test_id("sign-in")).to_be_visible()
    await expect(one.get_by_test_id("name-input")).to_be_visible()
