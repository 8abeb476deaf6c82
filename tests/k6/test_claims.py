"""What the JavaScript of `k6/` claims about itself, tried in k6."""

import json

from shared.stack import paths
from tests.k6.scripts import claims

VECTORS = paths.ROOT / "shared" / "protocol" / "vectors.json"


async def test_the_codec_of_the_load_tests_passes_the_protocols_vectors() -> None:
    found = await claims("codec.js")
    assert not any(fails for _, fails in found.values())
    names = {vector["name"] for vector in json.loads(VECTORS.read_text(encoding="utf-8"))["accepted"]}
    assert {"join-fresh", "join-resume", "ping", "chat", "chat-unicode"} <= {
        name.removeprefix("writes ") for name in found if name.startswith("writes ")
    } & names
    assert {"welcome", "sent", "gap", "error", "events-chat", "events-batch", "move"} <= {
        name.removeprefix("reads ") for name in found if name.startswith("reads ")
    } & names


async def test_the_load_tests_notice_losses_duplicates_and_disorder_and_draw_users_as_stated() -> None:
    found = await claims("behaviour.js")
    assert len(found) >= 25
    assert not any(fails for _, fails in found.values())
