"""The objectives and how near they are to being missed."""

from dashboards.boards.common import ERRORS_PANEL, MESSAGE_TIME, level, rate
from dashboards.expressions import Quantile, Ratio
from dashboards.objectives import BUDGET, FAILED, REQUESTS
from dashboards.panels import Dashboard, Panel, Query
from shared.telemetry.catalogue import web

SLO = Dashboard(
    name="slo",
    title="Headrace: objectives",
    panels=(
        ERRORS_PANEL,
        Panel(
            title="Speed at which the error budget burns",
            queries=(Query(Ratio(FAILED, REQUESTS), "share of failures; 0.001 uses up the budget in 30 days"),),
            unit="share",
            wrong="Above 0.0144 for an hour: docs/runbooks/error-budget-burns-fast.md.",
            limit=14.4 * BUDGET,
        ),
        Panel(
            title="Requests and messages",
            unit="per second",
            queries=(Query(REQUESTS, "all"), Query(FAILED, "failed")),
            wrong="Few requests make the shares beside this jump: look at the numbers before the shares.",
        ),
        MESSAGE_TIME,
        Panel(
            title="Requests by status",
            unit="per second",
            queries=(rate(web.HTTP_REQUESTS, "status"),),
            wrong="503: a dependency or the fleet. 500: a fault, find it by request id in the logs. 429: limits.",
        ),
        Panel(
            title="Requests by route, 95 %",
            unit="seconds",
            queries=(Query(Quantile(web.HTTP_SECONDS, 0.95, "route"), "{{route}}"),),
            wrong="WHIP and WHEP wait for workers, the rest for MongoDB: look at calls to workers, or at State.",
        ),
        Panel(
            title="Requests being answered",
            queries=(level(web.HTTP_IN_FLIGHT, "in flight"),),
            wrong="Rising without more requests: something hangs. Look at State.",
        ),
    ),
)
