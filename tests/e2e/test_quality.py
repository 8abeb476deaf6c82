"""Quality, seen by viewer and streamer: the menu, the size of the player, sound alone, presets, another network."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import expect

from shared.stack.stack import LocalStack
from tests.e2e.conftest import SCREENSHOTS, People
from tests.e2e.detour import Detour
from tests.e2e.person import TIMEOUT_MS, Person
from tests.support.sfu import sessions

pytestmark = pytest.mark.e2e

# Not even the smallest layer of 720p goes through, but sound does.
TOO_NARROW = 90_000
TIMEOUT_S = 60.0


async def video(person: Person) -> dict[str, Any]:
    found = [report for report in await person.stats("inbound-rtp") if report["kind"] == "video"]
    return found[0] if found else {}


async def until(person: Person, condition: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
    """Wait for a picture; it must have moved on by then."""
    before = await video(person)
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        seen = await video(person)
        moved = seen.get("framesDecoded", 0) > before.get("framesDecoded", 0)
        if moved and condition(seen):
            return seen
        assert time.monotonic() < deadline, f"{what}: {seen} {person.console}"
        await asyncio.sleep(0.1)


async def is_sent(person: Person, height: int) -> None:
    await until(person, lambda seen: seen.get("frameHeight") == height, f"a picture of {height} lines")


async def viewers(stack: LocalStack, room: str) -> list[dict[str, Any]]:
    found = [info for worker in stack.workers for info in await sessions(stack, worker.url)]
    return [info for info in found if (info["room"], info["kind"], info["state"]) == (room, "subscribe", "connected")]


async def pick(person: Person, choice: str) -> None:
    await person.page.locator(".stage").hover()
    await person.by("quality").click()
    await person.by(f"quality-{choice}").click()


async def test_a_lower_layer_chosen_in_the_menu_makes_the_picture_smaller(people: People, stack: LocalStack) -> None:
    ana, bo = await people("Ana"), await people("Bo")
    room = await ana.create_room("A menu")
    await ana.go_live()
    await bo.join_by_link(room)
    await is_sent(bo, 720)

    # By keyboard alone, as a screen reader's user does it.
    button = bo.by("quality")
    await expect(button).to_have_attribute("aria-label", "Quality: Auto, now 720p", timeout=TIMEOUT_MS)
    await button.focus()
    await bo.page.keyboard.press("Enter")
    await expect(bo.by("quality-auto")).to_be_focused()
    await expect(bo.by("quality-menu")).to_contain_text("720p")
    await bo.page.screenshot(path=SCREENSHOTS / "quality-menu.png")
    names = await bo.page.get_by_role("menuitemradio").all_inner_texts()
    assert [name.split()[0] for name in names] == ["Auto", "720p", "360p", "180p", "Audio"]
    await bo.page.keyboard.press("End")
    await bo.page.keyboard.press("ArrowUp")
    await expect(bo.by("quality-q")).to_be_focused()
    await bo.page.keyboard.press("Enter")
    await expect(button).to_be_focused()
    await is_sent(bo, 180)
    await expect(button).to_have_attribute("aria-label", "Quality: 180p, now 180p", timeout=TIMEOUT_MS)
    (info,) = await viewers(stack, room)
    assert (info["adaptation"]["choice"], info["adaptation"]["ceiling"]) == ("q", "choice")

    await pick(bo, "auto")
    await is_sent(bo, 720)


async def test_sound_alone_stops_the_video_s_bytes_and_the_picture_comes_back(people: People) -> None:
    ana, bo = await people("Ana"), await people("Bo")
    room = await ana.create_room("Radio")
    await ana.go_live()
    await bo.join_by_link(room)
    await is_sent(bo, 720)
    await pick(bo, "audioOnly")
    await expect(bo.by("audio-only")).to_be_visible(timeout=TIMEOUT_MS)
    await expect(bo.by("quality")).to_have_attribute(
        "aria-label", "Quality: Audio only, now audio only", timeout=TIMEOUT_MS
    )
    before = await bo.stats("inbound-rtp")
    # Longer than it takes to be taken for a stream that has come to a halt.
    await asyncio.sleep(7)
    after = await bo.stats("inbound-rtp")
    count = {report["kind"]: report["bytesReceived"] for report in before}
    grown = {report["kind"]: report["bytesReceived"] - count[report["kind"]] for report in after}
    assert grown["video"] == 0
    assert grown["audio"] > 0
    await bo.page.screenshot(path=SCREENSHOTS / "audio-only.png")
    await pick(bo, "auto")
    await is_sent(bo, 720)
    await expect(bo.by("audio-only")).to_be_hidden(timeout=TIMEOUT_MS)
    assert len(await bo.page.evaluate("window.__connections")) == 1


async def test_a_small_player_is_sent_a_small_picture_until_it_grows(people: People, stack: LocalStack) -> None:
    ana, bo = await people("Ana"), await people("Bo")
    room = await ana.create_room("Small and large")
    await ana.go_live()
    await bo.page.set_viewport_size({"width": 320, "height": 640})
    await bo.join_by_link(room)
    await is_sent(bo, 180)
    (info,) = await viewers(stack, room)
    assert info["adaptation"]["ceiling"] == "viewport"
    await bo.page.locator(".stage").hover()
    await bo.by("quality").click()
    await expect(bo.page.get_by_role("button", name="Full screen")).to_be_in_viewport(ratio=1)
    await bo.page.screenshot(path=SCREENSHOTS / "small-player.png")
    await bo.page.keyboard.press("Escape")
    await bo.page.set_viewport_size({"width": 1280, "height": 800})
    await is_sent(bo, 720)


async def test_a_connection_too_slow_for_any_picture_gets_sound_alone_and_the_picture_later(
    people: People, stack: LocalStack
) -> None:
    ana, bo = await people("Ana"), await people("Bo")
    room = await ana.create_room("Narrow")
    await ana.go_live()
    async with Detour(bo.page) as detour:
        await bo.join_by_link(room)
        await is_sent(bo, 720)
        detour.narrow(TOO_NARROW)
        overlay = bo.by("audio-only")
        await expect(overlay).to_contain_text("Audio only: your connection is slow", timeout=TIMEOUT_S * 1000)
        await bo.page.screenshot(path=SCREENSHOTS / "slow-connection.png")
        (info,) = await viewers(stack, room)
        assert info["adaptation"]["sound_alone"]
        assert [decision["reason"] for decision in info["adaptation"]["decisions"]][-1] == "starved"
        detour.narrow(None)
        await expect(overlay).to_be_hidden(timeout=TIMEOUT_S * 1000)
        await until(bo, lambda seen: seen["frameHeight"] >= 180, "the picture")


@pytest.mark.parametrize("who", ["viewer", "publisher"])
async def test_the_picture_comes_back_over_another_network_path(people: People, stack: LocalStack, who: str) -> None:
    """Within the session by an ICE restart, or in another one: whichever is there first."""
    ana, bo = await people("Ana"), await people("Bo")
    moving = bo if who == "viewer" else ana
    async with Detour(moving.page) as detour:
        room = await ana.create_room("On the move")
        await ana.go_live()
        await bo.join_by_link(room)
        await until(bo, lambda seen: seen["frameHeight"] > 0, "a picture")
        path = await _selected(moving)
        detour.cut()
        deadline = time.monotonic() + TIMEOUT_S
        while await _selected(moving) == path:
            assert time.monotonic() < deadline, moving.console
            await asyncio.sleep(0.1)
        await until(bo, lambda seen: seen["frameHeight"] > 0, "a picture over the new path")
        # Of two that raced one is left.
        while len(await viewers(stack, room)) != 1:
            assert time.monotonic() < deadline, moving.console
            await asyncio.sleep(0.1)
        await expect(bo.by("live-badge")).to_be_visible()


async def _selected(person: Person) -> str:
    """The candidate pair that the transport uses."""
    return str([report.get("selectedCandidatePairId") for report in await person.stats("transport")])


async def test_a_preset_decides_what_is_sent(people: People) -> None:
    ana, bo = await people("Ana"), await people("Bo")
    room = await ana.create_room("Presets")
    await ana.by("preset").select_option("360p")
    await ana.page.screenshot(path=SCREENSHOTS / "presets.png")
    await ana.go_live()
    await expect(ana.by("preset")).to_be_disabled()
    await bo.join_by_link(room)
    await is_sent(bo, 360)
    layers = {report["rid"]: report for report in await ana.stats("outbound-rtp") if report["kind"] == "video"}
    assert {rid: layer["frameHeight"] for rid, layer in layers.items()} == {"h": 180, "f": 360}
    parameters = await ana.page.evaluate(
        """() => window.__connections[0].getSenders().find(({track}) => track.kind === 'video').getParameters()"""
    )
    assert [encoding["maxBitrate"] for encoding in parameters["encodings"]] == [168_000, 700_000]
    # The choice is the browser's for the next time.
    await ana.page.reload()
    await expect(ana.by("preset")).to_have_value("360p", timeout=TIMEOUT_MS)
