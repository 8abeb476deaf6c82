"""How often anybody may ask for what: a budget for each kind of route.

It is that of the token's holder, or without a token of the network address. Writing is counted over all processes.
Reading is counted by each for itself: it is cheap, and a count in Redis would cost more than what it guards. Without
Redis nothing is counted, and what needs Redis says so itself.
"""

from collections import OrderedDict
from hashlib import blake2b
from typing import Literal, TypeAlias

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send
from redis.exceptions import RedisError

from functions import metrics
from functions.context import Context
from functions.signaling.limits import Budget
from shared.state.limits import Rate
from shared.state.requests import Budgets
from shared.telemetry.problems import Problem

RateName: TypeAlias = Literal["read", "search", "figures", "write", "create", "join", "test"]
RATES: dict[RateName, Rate] = {
    "read": Rate(50, 500),
    "search": Rate(10, 100),
    "figures": Rate(5, 60),
    "write": Rate(5, 100),
    # A room, a webhook.
    "create": Rate(0.5, 30),
    # A guest, a token: many people may be behind one address.
    "join": Rate(20, 300),
    # A ping of a webhook, a delivery again: somebody else's server pays.
    "test": Rate(0.2, 10),
}
_HERE = frozenset({"read", "search", "figures"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_HOLDERS_KEPT = 20_000


class RateMiddleware:
    """ASGI middleware, behind the routing. A route says which rate is its by `opt={"rate": …}`."""

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app = app
        self._context = context
        self._everywhere = Budgets(context.redis)
        self._here: OrderedDict[tuple[str, str], Budget] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is within the budget.

        Raises:
            Problem: 429, with the time to wait.
        """
        if scope["type"] == ScopeType.HTTP:
            name: RateName | None = scope["route_handler"].opt.get(
                "rate", "read" if scope["method"] in _READING else "write"
            )
            holder = self._holder(scope)
            if name is not None and holder:
                wait_ms = await self._spend(name, holder)
                if wait_ms:
                    metrics.LIMITS_REFUSED.labels("http").inc()
                    raise _too_many(name, wait_ms)
        await self._app(scope, receive, send)

    async def _spend(self, name: RateName, holder: str) -> int:
        if name in _HERE:
            budget = self._here.get((name, holder))
            if budget is None:
                budget = self._here[name, holder] = Budget(RATES[name])
                if len(self._here) > _HOLDERS_KEPT:
                    self._here.popitem(last=False)
            return budget.spend()
        try:
            return await self._everywhere.spend(name, holder, RATES[name])
        except (RedisError, OSError):
            return 0

    def _holder(self, scope: HTTPScope) -> str:
        """Whose budget it is, '' where nobody can be told from others."""
        token = forwarded = b""
        for header, value in scope["headers"]:
            if header == b"authorization":
                token = value
            elif header == b"x-forwarded-for":
                forwarded = value
        if token:
            # Not looked at yet: who makes tokens up is refused by the next step, at the price of one signature.
            return blake2b(token, digest_size=12).hexdigest()
        client = scope.get("client")
        return self._context.trusted_proxies.prefix(client[0], forwarded.decode("latin-1")) if client else ""


def _too_many(name: RateName, wait_ms: int) -> Problem:
    seconds = -(-wait_ms // 1000)
    rate = RATES[name]
    headers = {
        "retry-after": str(seconds),
        # draft-ietf-httpapi-ratelimit-headers
        "ratelimit-policy": f'"{name}";q={rate.burst};w={round(rate.burst / rate.per_second)}',
        "ratelimit": f'"{name}";r=0;t={seconds}',
    }
    detail = f"{rate.burst} at once and then {rate.per_second:g} a second are allowed: wait {seconds} s"
    return Problem(429, "rate_limited", "Too many requests", detail, headers)
