"""What the platform promises, and how its breach is measured."""

from dashboards.expressions import Rate, Ratio, Sum
from shared.telemetry.catalogue import state, web

AVAILABILITY = 0.999
"""Share of requests and messages that must not fail through a fault of ours, over 30 days."""
BUDGET = 1 - AVAILABILITY
MESSAGE_S = 0.1
"""95 % of messages are handed to their readers' sockets within this."""

FAILED_STATUS = ("500", "501", "502", "503", "504")

REQUESTS = Sum((Rate(web.HTTP_REQUESTS), Rate(state.APPENDED)))
FAILED = Sum(
    (
        Rate(web.HTTP_REQUESTS, where=("status", FAILED_STATUS)),
        Rate(state.APPENDED, where=("outcome", ("unknown",))),
    )
)
ERRORS = Ratio(FAILED, REQUESTS)
"""Share of requests and messages that failed."""
