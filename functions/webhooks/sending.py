"""One attempt to tell a webhook: signed as Standard Webhooks 1.0 says, bounded in time and in what is read."""

import base64
import hashlib
import hmac
import time
from datetime import UTC, datetime

import httpcore

from functions.webhooks.guard import Forbidden, Guard, check_url
from shared.state.webhooks import Attempt, Delivery, Webhook

TIMEOUT_S = 15.0
MAX_CONNECTIONS = 32
_AGENT = b"Headrace-Webhooks/1"


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The value of `webhook-signature`: version 1, HMAC-SHA256 over id, time and body."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    signed = b".".join((message_id.encode(), str(timestamp).encode(), body))
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


class Sender:
    """Sends. One per process; `close` at the end. `insecure` lets it go to private addresses and without TLS."""

    def __init__(self, *, insecure: bool) -> None:
        self._insecure = insecure
        self._pool = httpcore.AsyncConnectionPool(
            max_connections=MAX_CONNECTIONS,
            # None is kept: an address is looked at for each attempt.
            max_keepalive_connections=0,
            network_backend=Guard(insecure=insecure),
        )

    async def close(self) -> None:
        """Close what is open."""
        await self._pool.aclose()

    async def send(self, webhook: Webhook, delivery: Delivery) -> Attempt:
        """Try once. It has arrived when the answer is 2xx; the body of an answer is not read."""
        began, at = time.perf_counter(), datetime.now(UTC)
        status, error = 0, ""
        try:
            check_url(webhook.url, insecure=self._insecure)
            status = await self._post(webhook, delivery, int(at.timestamp()))
        except Forbidden as refused:
            error = f"refused: {refused}"
        except (httpcore.TimeoutException, TimeoutError):
            error = "no answer in time"
        except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as failed:
            error = f"{type(failed).__name__}: {failed}"[:200]
        if status and not 200 <= status < 300:
            error = "redirects are not followed" if 300 <= status < 400 else "the answer is not 2xx"
        return Attempt(
            at=at.replace(microsecond=at.microsecond // 1000 * 1000),
            status=status,
            error=error,
            took_ms=round((time.perf_counter() - began) * 1000),
        )

    async def _post(self, webhook: Webhook, delivery: Delivery, timestamp: int) -> int:
        body = delivery.body.encode()
        headers = [
            (b"user-agent", _AGENT),
            (b"content-type", b"application/json"),
            (b"webhook-id", delivery.event_id.encode()),
            (b"webhook-timestamp", str(timestamp).encode()),
            (b"webhook-signature", signature(webhook.secret, delivery.event_id, timestamp, body).encode()),
        ]
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), TIMEOUT_S)
        async with self._pool.stream(
            "POST", webhook.url, headers=headers, content=body, extensions={"timeout": timeouts}
        ) as response:
            return int(response.status)
