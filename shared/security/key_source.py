"""Where a process has its keys from, and how it learns of a rotation while it runs.

From its environment, which never changes; from a file, which is read again when it does; or from the address at which
functions publish their public keys (`/.well-known/jwks.json`), which is read every few minutes. What cannot be read is
reported, and the keys that are known hold on.
"""

import asyncio
import os
from pathlib import Path
from typing import Final, Protocol

import httpx
from structlog import get_logger

from shared.security.keys import KeyRing
from shared.security.tokens import Tokens
from shared.settings import SettingsError

FILE_INTERVAL_S: Final = 1.0
URL_INTERVAL_S: Final = 300.0
URL_RETRY_S: Final = 2.0
_URL_TIMEOUT_S: Final = 5.0
_LARGEST_BYTES: Final = 64 * 1024

log = get_logger(__name__)


class KeySource(Protocol):
    """Where keys come from. `ring` has those that were there last, at first perhaps none."""

    ring: KeyRing

    async def first(self) -> KeyRing:
        """The keys at start, waited for if need be."""

    async def follow(self, tokens: Tokens) -> None:
        """Give `tokens` new keys whenever there are some, until cancelled."""


class FixedKeys:
    """Keys in the environment."""

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring

    async def first(self) -> KeyRing:
        """They are here."""
        return self.ring

    async def follow(self, tokens: Tokens) -> None:
        """They stay as they are."""


class KeyFile:
    """Keys in a file, which whoever rotates replaces as a whole."""

    def __init__(self, path: Path, *, insecure_hs256: bool) -> None:
        self._path = path
        self._insecure_hs256 = insecure_hs256
        self._seen: object = None
        self.ring = self._read()

    async def first(self) -> KeyRing:
        """What was read at start."""
        return self.ring

    async def follow(self, tokens: Tokens) -> None:
        """Look at the file every `FILE_INTERVAL_S`."""
        while True:
            await asyncio.sleep(FILE_INTERVAL_S)
            try:
                if self._changed():
                    tokens.keys = self.ring = self._read()
                    log.info("keys_read", kids=sorted(self.ring.keys))
            except (OSError, ValueError) as error:
                log.warning("keys_unusable", error=type(error).__name__)

    def _changed(self) -> bool:
        return _stamp(self._path.stat()) != self._seen

    def _read(self) -> KeyRing:
        # Before the text: what is written in between is read once more.
        self._seen = _stamp(self._path.stat())
        return KeyRing.from_jwks(self._path.read_text(encoding="utf-8"), insecure_hs256=self._insecure_hs256)


class KeyUrl:
    """Public keys as functions publish them (RFC 7517)."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.ring = KeyRing([])

    async def first(self) -> KeyRing:
        """Wait until they can be read: without keys a worker could serve nobody."""
        async with httpx.AsyncClient(timeout=_URL_TIMEOUT_S, trust_env=False) as http:
            while not await self._fetch(http):  # noqa: ASYNC110 - what another process does has no event
                await asyncio.sleep(URL_RETRY_S)
            return self.ring

    async def follow(self, tokens: Tokens) -> None:
        """Read them every `URL_INTERVAL_S`."""
        async with httpx.AsyncClient(timeout=_URL_TIMEOUT_S, trust_env=False) as http:
            wait_s = URL_INTERVAL_S
            while True:
                await asyncio.sleep(wait_s)
                wait_s = URL_INTERVAL_S if await self._fetch(http) else URL_RETRY_S
                tokens.keys = self.ring

    async def _fetch(self, http: httpx.AsyncClient) -> bool:
        try:
            response = (await http.get(self._url)).raise_for_status()
            if len(response.content) <= _LARGEST_BYTES:
                self.ring = KeyRing.from_jwks(response.text)
                return True
            log.warning("keys_unusable", error="too large")
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            log.warning("keys_not_read", error=type(error).__name__)
        return False


def key_source(document: str, file: str, url: str = "", *, insecure_hs256: bool = False) -> KeySource:
    """Where a process has its keys from, given its settings, of which one must be there.

    Raises:
        SettingsError: none or several are, or the keys cannot be used.
    """
    given = [
        name
        for name, value in (
            ("HEADRACE_JWT_KEYS", document),
            ("HEADRACE_JWT_KEYS_FILE", file),
            ("HEADRACE_JWKS_URL", url),
        )
        if value
    ]
    if not given:
        raise SettingsError("HEADRACE_JWT_KEYS", "is required (a JWK set), or HEADRACE_JWT_KEYS_FILE in its place")
    if len(given) > 1:
        raise SettingsError(given[1], f"expected only one source of keys, {given[0]} is another")
    try:
        if document:
            return FixedKeys(KeyRing.from_jwks(document, insecure_hs256=insecure_hs256))
        return KeyFile(Path(file), insecure_hs256=insecure_hs256) if file else KeyUrl(url)
    except (OSError, ValueError) as error:
        problem = f"expected a readable file ({type(error).__name__})" if isinstance(error, OSError) else str(error)
        raise SettingsError(given[0], problem) from None


def _stamp(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_mtime_ns, status.st_ino, status.st_size
