"""Where processes have their keys from: each source follows a rotation, and says what is wrong with it at start."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.security import key_source as sources
from shared.security.key_source import key_source
from shared.security.keys import KeyRing, generate_jwks, generate_key
from shared.security.rotation import rotated
from shared.security.tokens import Tokens
from shared.settings import SettingsError


@asynccontextmanager
async def following(source: sources.KeySource) -> AsyncIterator[Tokens]:
    tokens = Tokens(await source.first())
    task = asyncio.create_task(source.follow(tokens))
    try:
        yield tokens
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _until_it_knows(tokens: Tokens, ring: KeyRing) -> None:
    async with asyncio.timeout(10):
        while tokens.keys.keys.keys() != ring.keys.keys():
            await asyncio.sleep(0.01)


async def test_a_file_is_read_again_when_it_changes_and_a_broken_one_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "FILE_INTERVAL_S", 0.01)
    file = tmp_path / "keys.json"
    before = KeyRing([generate_key()])
    file.write_text(before.private_jwks())
    async with following(key_source("", str(file))) as tokens:
        assert tokens.keys.keys.keys() == before.keys.keys()
        for broken in ("{", "", '{"keys": []}'):
            file.write_text(broken)
            await asyncio.sleep(0.05)
            assert tokens.keys.keys.keys() == before.keys.keys()
        file.unlink()
        await asyncio.sleep(0.05)
        after = rotated(before, "EdDSA")
        file.write_text(after.private_jwks())
        await _until_it_knows(tokens, after)


async def test_published_keys_are_waited_for_and_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "URL_INTERVAL_S", 0.01)
    monkeypatch.setattr(sources, "URL_RETRY_S", 0.01)
    answers = [b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", _answer("{}")]
    rings = [KeyRing([generate_key()])]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answers.pop(0) if answers else _answer(rings[-1].public_jwks()))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/.well-known/jwks.json"
    async with server, following(key_source("", "", url)) as tokens:
        assert tokens.keys.keys.keys() == rings[0].keys.keys()
        assert tokens.keys.signing() is None
        answers.append(_answer("nonsense"))
        rings.append(rotated(rings[0], "ES256"))
        await _until_it_knows(tokens, rings[-1])


def _answer(body: str) -> bytes:
    return b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body.encode())


@pytest.mark.parametrize(
    ("given", "variable", "expected"),
    [
        (("", "", ""), "HEADRACE_JWT_KEYS", "is required"),
        (("{}", "", ""), "HEADRACE_JWT_KEYS", "expected a JWK set"),
        ((generate_jwks(), "/nowhere", ""), "HEADRACE_JWT_KEYS_FILE", "only one source"),
        (("", "/nowhere", ""), "HEADRACE_JWT_KEYS_FILE", "readable file"),
        (("", "/nowhere", "http://x/"), "HEADRACE_JWKS_URL", "only one source"),
        ((generate_jwks("HS256"), "", ""), "HEADRACE_JWT_KEYS", "HEADRACE_INSECURE_HS256"),
    ],
)
def test_keys_that_cannot_be_used_name_their_variable(
    given: tuple[str, str, str], variable: str, expected: str
) -> None:
    with pytest.raises(SettingsError, match=expected) as caught:
        key_source(*given)
    assert caught.value.variable == variable
    for secret in (key for document in given[:1] if document for key in json.loads(document).get("keys", [])):
        assert secret.get("d", secret.get("k")) not in str(caught.value)
