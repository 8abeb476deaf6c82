"""The instance metadata service, version 2: who this host is, and whether it has to go.

Source: Amazon EC2 User Guide, "Instance metadata and user data" (session tokens, categories).
"""

from enum import StrEnum
from types import TracebackType
from typing import Self

import httpx
import msgspec

_TOKEN_LIFETIME_S = 21_600
_TIMEOUT_S = 2.0
_TERMINATED = "Terminated"


class MetadataError(Exception):
    """The service did not answer, or not as it should."""


class Identity(msgspec.Struct, frozen=True):
    """Who this host is. `public` is empty without a public address; `zone` is `<region>/<availability zone>`."""

    instance: str
    private: str
    public: str
    zone: str = ""


class Notice(StrEnum):
    """Why the host has to go."""

    SCALE_IN = "scale-in"
    SPOT = "spot"


class Metadata:
    """A client of the service; an async context manager. Every method raises `MetadataError`."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(base_url=url, timeout=_TIMEOUT_S, trust_env=False)
        self._token = ""

    async def __aenter__(self) -> Self:
        """Nothing is asked yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close connections."""
        await self._http.aclose()

    async def identity(self) -> Identity:
        """Who we are."""
        instance = await self._get("instance-id")
        private = await self._get("local-ipv4")
        if instance is None or private is None:
            raise MetadataError("there is no instance-id or local-ipv4")
        places = [await self._get(f"placement/{name}") for name in ("region", "availability-zone")]
        zone = "/".join(place for place in places if place)
        return Identity(instance, private, await self._get("public-ipv4") or "", zone)

    async def notice(self) -> Notice | None:
        """Whether we have to go, and why."""
        if await self._get("autoscaling/target-lifecycle-state") == _TERMINATED:
            return Notice.SCALE_IN
        # Two minutes ahead of an interruption; 404 until then.
        if await self._get("spot/instance-action") is not None:
            return Notice.SPOT
        return None

    async def _get(self, category: str) -> str | None:
        try:
            response = await self._ask(category)
            if response.status_code == httpx.codes.UNAUTHORIZED:  # the token has expired
                self._token = ""
                response = await self._ask(category)
        except httpx.HTTPError as error:
            raise MetadataError(f"{category}: {type(error).__name__}") from error
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        if response.status_code != httpx.codes.OK:
            raise MetadataError(f"{category}: status {response.status_code}")
        return response.text.strip()

    async def _ask(self, category: str) -> httpx.Response:
        if not self._token:
            lifetime = {"X-aws-ec2-metadata-token-ttl-seconds": str(_TOKEN_LIFETIME_S)}
            answer = await self._http.put("/latest/api/token", headers=lifetime)
            answer.raise_for_status()
            self._token = answer.text
        token = {"X-aws-ec2-metadata-token": self._token}
        return await self._http.get(f"/latest/meta-data/{category}", headers=token)
