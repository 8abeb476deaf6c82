"""Headless Chromium with a fake camera and microphone, in front of the whole platform."""

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from shared.stack.stack import LocalStack
from tests.e2e.person import Person
from tests.support.chromium import ARGUMENTS, chromium_path

SCREENSHOTS = Path(__file__).parents[2] / ".headrace" / "screenshots"

NewPage = Callable[[], Awaitable[Page]]
NewPerson = Callable[[str], "asyncio.Future[Person]"]


@pytest_asyncio.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture
async def new_page(browser: Browser) -> AsyncIterator[NewPage]:
    """Makes empty pages that may use camera and microphone, each with a browser profile of its own.

    They are closed at the end: Chromium's fake camera gives all who have it open at once the same picture size.
    """
    async with AsyncExitStack() as exits:

        async def make() -> Page:
            context = await browser.new_context()
            exits.push_async_callback(context.close)
            page = await context.new_page()
            await page.route(
                "http://localhost/", lambda route: route.fulfill(body="<html></html>", content_type="text/html")
            )
            await page.goto("http://localhost/")
            return page

        yield make


@pytest_asyncio.fixture
async def people(browser: Browser, stack: LocalStack, request: pytest.FixtureRequest) -> AsyncIterator["People"]:
    """Makes people, each with a browser profile of their own; a screenshot of each is kept at the end."""
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    async with AsyncExitStack() as exits:
        made = People(browser, stack.url, exits)
        yield made
        for name, person in made.all.items():
            path = SCREENSHOTS / f"{request.node.name}-{name}.png"
            if not person.page.is_closed():
                await person.page.screenshot(path=os.fspath(path))


class People:
    def __init__(self, browser: Browser, url: str, exits: AsyncExitStack) -> None:
        self.all: dict[str, Person] = {}
        self._browser = browser
        self._url = url
        self._exits = exits

    async def __call__(self, name: str, *, url: str | None = None, phone: bool = False) -> Person:
        viewport = {"width": 390, "height": 844} if phone else {"width": 1280, "height": 800}
        context = await self._browser.new_context(viewport=viewport)  # type: ignore[arg-type]
        self._exits.push_async_callback(context.close)
        person = await Person.open(context, url or self._url, name)
        self.all[name] = person
        return person
