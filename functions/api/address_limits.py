"""What may come from one network address over HTTP, exact over all processes, with a back-off that doubles.

For what costs us something or tries a secret. Whoever goes on against the limit is backed off, over HTTP and at room
sockets alike (`shared.state.limits`).
"""

from typing import Any

import msgspec
from litestar import Request

from functions import metrics
from functions.context import Context
from shared.state.limits import Admission, Rate
from shared.telemetry.problems import Problem


class AddressLimit(msgspec.Struct, frozen=True):
    """So many of a kind of request; `name` is a value of `signaling.LIMITS`."""

    name: str
    rate: Rate


# Many people may be behind one address: a class registers within minutes, a stadium comes in at once.
GUESTS = AddressLimit("guests", Rate(10, 500))
REGISTRATIONS = AddressLimit("registrations", Rate(0.2, 40))
SIGN_INS = AddressLimit("sign_ins", Rate(2, 100))
REFRESHES = AddressLimit("refreshes", Rate(20, 1000))


def address_of(request: Request[Any, Any, Any], context: Context) -> str:
    """What limits of the request's address are counted by; '' where that is not known and not limited."""
    peer = request.client.host if request.client else ""
    return context.trusted_proxies.prefix(peer, request.headers.get("x-forwarded-for", ""))


async def admit(request: Request[Any, Any, Any], context: Context, limit: AddressLimit) -> str:
    """Count a request against its address' limit; the address.

    Raises:
        Problem: 429 with Retry-After.
    """
    address = address_of(request, context)
    if address:
        limits = context.reception.limits
        admitted = await limits.admit_address(address, limit.name, limit.rate)
        wait_ms = admitted.retry_after_ms
        if admitted.outcome is Admission.TOO_FAST:
            wait_ms = max(wait_ms, await limits.offended(address=address))
        if admitted.outcome is not Admission.OPEN:
            backed_off = admitted.outcome is Admission.BACKED_OFF
            metrics.LIMITS_REFUSED.labels("backed_off" if backed_off else limit.name).inc()
            raise too_many(wait_ms, "too much comes from this network address")
    return address


def too_many(wait_ms: int, detail: str) -> Problem:
    """Come back later."""
    retry_after = str(max(1, -(-wait_ms // 1000)))
    return Problem(429, "too_many_requests", "Too many requests", detail, {"retry-after": retry_after})
