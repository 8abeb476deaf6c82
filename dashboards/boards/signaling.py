"""Room sockets."""

from dashboards.boards.common import MESSAGE_TIME, level, quantiles, rate
from dashboards.expressions import Mean, Rate, Ratio
from dashboards.panels import Dashboard, Panel, Query
from shared.telemetry.catalogue import signaling, state, web

SIGNALING = Dashboard(
    name="signaling",
    title="Headrace: signaling",
    panels=(
        Panel(
            title="Connections",
            queries=(level(signaling.CONNECTIONS, "sockets"), level(signaling.ROOMS, "rooms, each at each process")),
            wrong="A cliff: look at joins and closes beside it. People come back by themselves within seconds.",
        ),
        Panel(
            title="Joins",
            unit="per second",
            queries=(rate(signaling.JOINS, "result"),),
            wrong="Many `resumed`: sockets are being cut, look at the load balancer. `unavailable`: Redis.",
        ),
        Panel(
            title="Sockets that we close",
            unit="per second",
            queries=(rate(signaling.CLOSES, "code"),),
            wrong="4430 is slow readers, 4429 limits, 1013 a dependency that is gone, 1001 silence or a drain.",
        ),
        MESSAGE_TIME,
        Panel(
            title="Frames handed over late",
            unit="share",
            queries=(Query(Ratio(Rate(state.TAIL_LATE), Rate(state.TAIL_SECONDS)), "later than 100 ms"),),
            wrong="Above 5 % the objective is broken: follow docs/runbooks/messages-late.md.",
            limit=0.05,
        ),
        Panel(
            title="Deliveries",
            unit="per second",
            queries=(rate(signaling.DELIVERIES), rate(state.EVENTS_FANNED_OUT)),
            wrong="No sign by itself; it is the load that the times beside it are to be read against.",
        ),
        Panel(
            title="Fan-out of one frame",
            unit="seconds",
            queries=quantiles(signaling.FAN_OUT_SECONDS),
            wrong="Above 20 ms it is longer than the window: spread the room's people over more processes.",
            limit=0.02,
        ),
        Panel(
            title="Events in one frame",
            queries=(Query(Mean(signaling.FAN_OUT_BATCH), "mean"),),
            wrong="1 at a high rate of messages: many rooms share the process, more processes are the remedy.",
        ),
        Panel(
            title="Slow readers",
            queries=(level(signaling.BACKLOG, "frames waiting"),),
            wrong="Rising: many clients do not keep up. Is our own network full?",
        ),
        Panel(
            title="Frames dropped for slow readers",
            unit="per second",
            queries=(rate(signaling.CONFLATED), rate(signaling.DROPPED)),
            wrong="The first are ephemeral and harmless. The second are closed sockets, whose clients resume.",
        ),
        Panel(
            title="Limits that refuse",
            unit="per second",
            queries=(rate(signaling.LIMITS_REFUSED, "limit"),),
            wrong="`address_joins`: an attack, or a proxy that HEADRACE_TRUSTED_PROXIES does not name.",
        ),
        Panel(
            title="Error frames",
            unit="per second",
            queries=(rate(signaling.ERRORS_OUT, "code"),),
            wrong="`unavailable` and `no_capacity` are ours, the rest is what clients did.",
        ),
        Panel(
            title="Frames from clients",
            unit="per second",
            queries=(rate(signaling.FRAMES_IN, "kind"),),
            wrong="One kind far above the others: a client in a loop. Limits hold; find its version.",
        ),
        Panel(
            title="Tokens refused",
            unit="per second",
            queries=(rate(web.TOKENS_REFUSED, "code"),),
            wrong="`token_refused` rising: keys differ between processes, or somebody tries tokens.",
        ),
        Panel(
            title="Sign-ins",
            unit="per second",
            queries=(rate(web.SIGN_INS, "result"),),
            wrong="`refused` and `backed_off` far above `signed_in`: somebody guesses passwords. `busy`: too few "
            "processes.",
        ),
        Panel(
            title="Sessions refreshed",
            unit="per second",
            queries=(rate(web.SESSIONS_REFRESHED, "result"),),
            wrong="`unknown` rising: Redis has lost sessions, people sign in again. `reused`: a client keeps old "
            "tokens, or tokens are stolen.",
        ),
        Panel(
            title="Event loop, lateness",
            unit="seconds",
            queries=quantiles(signaling.LOOP_LAG),
            wrong="95 % above 50 ms: the process has too much to do. More processes, or find what blocks it.",
            limit=0.05,
        ),
        Panel(
            title="Bus and presence, failures",
            unit="per second",
            queries=(rate(signaling.BUS_ERRORS), rate(signaling.PRESENCE_ERRORS)),
            wrong="Above 0 for long: the way to Redis. Reactions and counts are stale, chat is not.",
        ),
    ),
)
