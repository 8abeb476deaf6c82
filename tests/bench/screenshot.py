"""Takes README's picture: the demo's room as a viewer sees it, with a chat. Run with `task bench:screenshot`."""

import asyncio
import tempfile
from pathlib import Path

from playwright.async_api import async_playwright

from shared.stack import paths
from shared.stack.demo import Publishing, ensure_clip
from shared.stack.progress import Progress
from shared.stack.stack import LocalStack
from tests.e2e.person import Person
from tests.support.chromium import ARGUMENTS, chromium_path

TARGET = paths.ROOT / "docs" / "images" / "live-room.jpg"
TALK = (
    ("Bo", "hello from the second row"),
    ("Cy", "picture is crisp, no freeze so far"),
    ("Di", "just joined, and the chat before me is all here"),
    ("Bo", "that is FFmpeg publishing over WHIP"),
    ("Cy", "and nothing in between transcodes it"),
    ("Di", "nice rabbit"),
)


async def take() -> None:
    """Start the demo, have three people talk, and take the picture of one of them."""
    clip = await asyncio.to_thread(ensure_clip, paths.DATA, progress=Progress())
    with tempfile.TemporaryDirectory() as folder:
        async with (
            LocalStack(Path(folder), functions=2, workers=2) as stack,
            async_playwright() as playwright,
        ):
            code = (await Publishing(clip).run(stack)).rpartition("/")[2]
            browser = await playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
            people: dict[str, Person] = {}
            for name in ("Bo", "Cy", "Di"):
                context = await browser.new_context(viewport={"width": 1360, "height": 820})
                people[name] = await Person.open(context, stack.url, name)
                await people[name].join_by_link(code)
            for name, text in TALK:
                await people[name].say(text)
                await people["Di"].sees_chat(text)
            await people["Di"].watches()
            TARGET.parent.mkdir(parents=True, exist_ok=True)
            await people["Di"].page.screenshot(path=TARGET, type="jpeg", quality=88)
            await browser.close()


if __name__ == "__main__":
    asyncio.run(take())
