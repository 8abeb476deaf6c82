"""A room, live: what the product is, seen by the people who use it."""

import pytest
from playwright.async_api import expect

from shared.stack.stack import LocalStack
from tests.e2e.conftest import People
from tests.e2e.person import TIMEOUT_MS
from tests.support.sfu import sessions

pytestmark = pytest.mark.e2e


async def test_three_viewers_watch_and_chat_with_a_streamer_until_the_stream_ends(people: People) -> None:
    ana = await people("Ana")
    code = await ana.create_room("Late night synths")
    await ana.go_live()

    bo, cy = await people("Bo"), await people("Cy", phone=True)
    await bo.join_by_link(code)
    await cy.join_by_code(f"{code[:5]}-{code[5:]}".upper())
    for viewer in (bo, cy):
        seen = await viewer.watches()
        assert seen["width"] >= 320

    await ana.say("welcome, all")
    await bo.say("hello from Bo")
    await cy.say("and from Cy")
    for person in (ana, bo, cy):
        for text in ("welcome, all", "hello from Bo", "and from Cy"):
            await person.sees_chat(text)

    # Somebody late sees the stream and what was said before.
    di = await people("Di")
    await di.join_by_link(code)
    await di.watches()
    await di.sees_chat("hello from Bo")
    assert await di.texts() == await bo.texts()
    await expect(ana.by("viewer-count")).to_contain_text("3", timeout=TIMEOUT_MS)

    await ana.by("end-stream").click()
    for viewer in (bo, cy, di):
        await expect(viewer.by("notice").filter(has_text="ended").first).to_be_visible(timeout=TIMEOUT_MS)
        await expect(viewer.by("live-badge")).to_be_hidden(timeout=TIMEOUT_MS)
    for person in (ana, bo, cy, di):
        assert not [line for line in person.console if "error" in line.lower()], person.console


async def test_a_streamer_who_closes_the_page_ends_the_stream(people: People) -> None:
    ana, bo = await people("Ana"), await people("Bo")
    code = await ana.create_room("Short")
    await ana.go_live()
    await bo.join_by_link(code)
    await bo.watches()
    await ana.page.close(run_before_unload=False)
    await expect(bo.by("notice").filter(has_text="ended").first).to_be_visible(timeout=TIMEOUT_MS)


async def test_viewers_who_wait_see_the_stream_when_it_starts_and_starts_again(people: People) -> None:
    ana, bo = await people("Ana"), await people("Bo")
    code = await ana.create_room("On and off")
    await bo.join_by_link(code)
    for _ in range(2):
        await ana.go_live()
        await bo.watches()
        await ana.by("end-stream").click()
        await expect(bo.by("live-badge")).to_be_hidden(timeout=TIMEOUT_MS)


async def test_two_rooms_land_on_two_different_workers(people: People, stack: LocalStack) -> None:
    rooms = []
    for name in ("Ana", "Eve"):
        streamer, viewer = await people(name), await people(f"fan of {name}")
        code = await streamer.create_room(f"{name}'s room")
        await streamer.go_live()
        await viewer.join_by_link(code)
        await viewer.watches()
        rooms.append(code)
    per_worker = [{session["room"] for session in await sessions(stack, worker.url)} for worker in stack.workers]
    assert [rooms[0] in found for found in per_worker] == [rooms[1] not in found for found in per_worker]
    assert sum(rooms[0] in found for found in per_worker) == 1


async def test_a_viewers_wish_for_a_keyframe_reaches_the_publisher(people: People) -> None:
    ana, bo = await people("Ana"), await people("Bo")
    code = await ana.create_room("Keyframes")
    await ana.go_live()
    await bo.join_by_link(code)
    await bo.watches()
    layers = [report for report in await ana.stats("outbound-rtp") if report["kind"] == "video"]
    # Chromium sends a delta frame for minutes unless it is asked: Bo's first picture was asked for, of Bo's layer.
    assert any(
        layer["pliCount"] + layer["firCount"] >= 1 and layer["keyFramesEncoded"] >= 2
        for layer in layers
        if layer.get("active", True)
    )


async def test_a_room_that_is_not_there_is_said_to_be_so(people: People) -> None:
    bo = await people("Bo")
    await bo.page.goto(f"{bo.url}/r/aaaaaaaaaa")
    await expect(bo.by("error-title")).to_be_visible(timeout=TIMEOUT_MS)
