"""The dashboards: which questions are asked, in which order, and what to do when an answer looks wrong."""

from dashboards.expressions import BusiestCore, Level, Mean, Quantile, Rate, Ratio
from dashboards.objectives import BUDGET, ERRORS, FAILED, MESSAGE_S, REQUESTS
from dashboards.panels import Dashboard, Panel, Query
from shared.telemetry.catalogue import media, process, signaling, state, web
from shared.telemetry.metric import Metric


def _rate(metric: Metric, by: str = "") -> Query:
    return Query(Rate(metric, by), f"{{{{{by}}}}}" if by else metric.name)


def _level(metric: Metric, legend: str) -> Query:
    return Query(Level(metric), legend)


def _quantiles(metric: Metric) -> tuple[Query, ...]:
    return Query(Quantile(metric, 0.5), "median"), Query(Quantile(metric, 0.95), "95 %")


_LIVE_ROOMS = Panel(
    title="Live rooms",
    queries=(_level(media.LIVE_ROOMS, "live rooms"),),
    wrong="A sudden fall without a deployment: look at SFU fleet, sessions ended by reason. `lost` is the network or a "
    "worker, `failed` a handshake.",
)
_WATCHING = Panel(
    title="People watching",
    queries=(
        _level(signaling.VIEWERS, "in rooms"),
        Query(Level(media.SESSIONS, "sum", "kind"), "media sessions, {{kind}}"),
    ),
    wrong="Many in rooms and few media sessions: people get chat and no video. Look at SFU fleet, sessions refused.",
)
_ERRORS = Panel(
    title="Failed requests and messages",
    unit="share",
    queries=(Query(ERRORS, "failed"),),
    wrong="Above 1 %: follow docs/runbooks/errors-high.md.",
    limit=0.01,
)
_MESSAGE_TIME = Panel(
    title="Messages, from the log to the sockets",
    unit="seconds",
    queries=_quantiles(state.TAIL_SECONDS),
    wrong="95 % above 100 ms: follow docs/runbooks/messages-late.md.",
    limit=MESSAGE_S,
)
_CPU = Panel(
    title="Processor, busiest process",
    unit="cores",
    queries=(Query(BusiestCore(process.CPU_SECONDS), "{{job}}"),),
    wrong="Above 0.85: follow docs/runbooks/cpu-high.md. A process uses one core, more processes are the remedy.",
    limit=0.85,
)
_MEMORY = Panel(
    title="Memory, fullest process",
    unit="share",
    queries=(
        Query(Ratio(Level(process.RESIDENT_MEMORY, "max"), Level(process.MEMORY_LIMIT, "min")), "of the smallest limit"),
    ),
    wrong="Above 80 %: follow docs/runbooks/memory-high.md.",
    limit=0.8,
)
_DEPENDENCIES = Panel(
    title="Redis and MongoDB are there",
    queries=(Query(Level(state.DEPENDENCY_UP, "min", "dependency"), "{{dependency}}"),),
    wrong="0: a process cannot reach it. Follow docs/runbooks/dependency-down.md.",
)

OVERVIEW = Dashboard(
    name="overview",
    title="Headrace: overview",
    panels=(
        _LIVE_ROOMS,
        _WATCHING,
        _ERRORS,
        _MESSAGE_TIME,
        Panel(
            title="What people do",
            unit="per second",
            queries=(
                Query(Rate(state.APPENDED, where=("outcome", ("appended",))), "messages and gifts"),
                Query(Rate(signaling.GIFTS), "gifts"),
                Query(Rate(web.ROOMS_CREATED), "rooms created"),
                Query(Rate(web.GUESTS_CREATED), "new people"),
            ),
            wrong="All at 0 while people are connected: the room log takes nothing. Look at State.",
        ),
        Panel(
            title="Watch time, viewer seconds per second",
            queries=(Query(Rate(media.WATCH_SECONDS), "watching"),),
            wrong="It follows the viewers' media sessions; when it does not, the worker's census has stopped: restart it.",
        ),
        _DEPENDENCIES,
        _CPU,
        _MEMORY,
        Panel(
            title="Processes that drain",
            queries=(_level(process.DRAINING, "draining"),),
            wrong="Above 0 for longer than a deployment takes: a drain does not end. Its deadline is "
            "HEADRACE_DRAIN_DEADLINE_S; look at the logs of that process.",
        ),
    ),
)

ROOMS = Dashboard(
    name="rooms",
    title="Headrace: rooms",
    panels=(
        _LIVE_ROOMS,
        _WATCHING,
        Panel(
            title="Connections of the fullest room",
            queries=(Query(Level(signaling.ROOM_CONNECTIONS_MAX, "max"), "connections"),),
            wrong="Above 1,000: follow docs/runbooks/room-too-full.md.",
            limit=1000,
        ),
        Panel(
            title="Messages by what became of them",
            unit="per second",
            queries=(_rate(state.APPENDED, "outcome"),),
            wrong="`unknown`: Redis did not answer, look at State. `too_fast` and `blocked`: somebody floods; the owner "
            "can set slow mode.",
        ),
        Panel(
            title="Gaps that clients were told of",
            unit="per second",
            queries=(_rate(state.GAPS, "reason"),),
            wrong="`epoch`: a log was lost, look at Redis' failovers. `trimmed`: people were away for longer than a room "
            "keeps; harmless one by one.",
        ),
        Panel(
            title="Bitrate that viewers receive",
            unit="bits per second",
            queries=_quantiles(signaling.PLAYBACK_BITRATE),
            wrong="Median falls: compare with the estimates in SFU fleet. If estimates are high, publishers send less.",
        ),
        Panel(
            title="Freezes that viewers report",
            unit="per second",
            queries=(_rate(signaling.PLAYBACK_FREEZES),),
            wrong="Rising: look at losses in SFU fleet; on the way up it is the publisher, on the way down the viewers.",
        ),
        Panel(
            title="Recordings",
            queries=(_level(media.RECORDINGS, "going on"),),
            wrong="Fewer than live rooms that record: look for `recording` in the workers' logs; the disk may be full.",
        ),
    ),
)

SIGNALING = Dashboard(
    name="signaling",
    title="Headrace: signaling",
    panels=(
        Panel(
            title="Connections",
            queries=(_level(signaling.CONNECTIONS, "sockets"), _level(signaling.ROOMS, "rooms, each at each process")),
            wrong="A cliff: look at joins and closes beside it. People come back by themselves within seconds.",
        ),
        Panel(
            title="Joins",
            unit="per second",
            queries=(_rate(signaling.JOINS, "result"),),
            wrong="Many `resumed`: sockets are being cut, look at the load balancer. `unavailable`: Redis.",
        ),
        Panel(
            title="Sockets that we close",
            unit="per second",
            queries=(_rate(signaling.CLOSES, "code"),),
            wrong="4430 is slow readers, 4429 limits, 1013 a dependency that is gone, 1001 silence or a drain.",
        ),
        _MESSAGE_TIME,
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
            queries=(_rate(signaling.DELIVERIES), _rate(state.EVENTS_FANNED_OUT)),
            wrong="No sign by itself; it is the load that the times beside it are to be read against.",
        ),
        Panel(
            title="Fan-out of one frame",
            unit="seconds",
            queries=_quantiles(signaling.FAN_OUT_SECONDS),
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
            queries=(_level(signaling.BACKLOG, "frames waiting"),),
            wrong="Rising: many clients do not keep up. Is our own network full?",
        ),
        Panel(
            title="Frames dropped for slow readers",
            unit="per second",
            queries=(_rate(signaling.CONFLATED), _rate(signaling.DROPPED)),
            wrong="The first are ephemeral and harmless. The second are closed sockets, whose clients resume.",
        ),
        Panel(
            title="Limits that refuse",
            unit="per second",
            queries=(_rate(signaling.LIMITS_REFUSED, "limit"),),
            wrong="`address_joins`: an attack, or a proxy that HEADRACE_TRUSTED_PROXIES does not name.",
        ),
        Panel(
            title="Error frames",
            unit="per second",
            queries=(_rate(signaling.ERRORS_OUT, "code"),),
            wrong="`unavailable` and `no_capacity` are ours, the rest is what clients did.",
        ),
        Panel(
            title="Frames from clients",
            unit="per second",
            queries=(_rate(signaling.FRAMES_IN, "kind"),),
            wrong="One kind far above the others: a client in a loop. Limits hold; find its version.",
        ),
        Panel(
            title="Tokens refused",
            unit="per second",
            queries=(_rate(web.TOKENS_REFUSED, "code"),),
            wrong="`token_refused` rising: keys differ between processes, or somebody tries tokens.",
        ),
        Panel(
            title="Event loop, lateness",
            unit="seconds",
            queries=_quantiles(signaling.LOOP_LAG),
            wrong="95 % above 50 ms: the process has too much to do. More processes, or find what blocks it.",
            limit=0.05,
        ),
        Panel(
            title="Bus and presence, failures",
            unit="per second",
            queries=(_rate(signaling.BUS_ERRORS), _rate(signaling.PRESENCE_ERRORS)),
            wrong="Above 0 for long: the way to Redis. Reactions and counts are stale, chat is not.",
        ),
    ),
)

SFU_FLEET = Dashboard(
    name="sfu-fleet",
    title="Headrace: SFU fleet",
    panels=(
        Panel(
            title="Share of the packet budget used",
            unit="share",
            queries=(Query(Ratio(Level(media.LOAD), Level(media.CAPACITY)), "of the fleet"),),
            wrong="Above 80 %: follow docs/runbooks/fleet-full.md.",
            limit=0.8,
        ),
        Panel(
            title="Sessions",
            queries=(Query(Level(media.SESSIONS, "sum", "kind"), "{{kind}}"),),
            wrong="A cliff: look at sessions ended by reason.",
        ),
        Panel(
            title="Sessions ended",
            unit="per second",
            queries=(_rate(media.SESSIONS_ENDED, "reason"),),
            wrong="`lost`: networks, or a worker that is held up. `failed`: handshakes, is the UDP range open?",
        ),
        Panel(
            title="Sessions refused, and streams without a place",
            unit="per second",
            queries=(
                _rate(media.REFUSED, "code"),
                Query(Rate(web.PLACEMENTS, where=("result", ("no_capacity",))), "no worker found"),
            ),
            wrong="`at_capacity` or no worker: docs/runbooks/fleet-full.md. `no_publisher`: people who came too early.",
        ),
        Panel(
            title="Packets",
            unit="per second",
            queries=(_rate(media.TRAFFIC["packets_in"]), _rate(media.TRAFFIC["packets_out"])),
            wrong="In without out: nobody watches, or no keyframe came. Look at keyframe requests.",
        ),
        Panel(
            title="Bytes",
            unit="bytes per second",
            queries=(_rate(media.TRAFFIC["bytes_in"]), _rate(media.TRAFFIC["bytes_out"])),
            wrong="Out is what egress costs. Out of proportion to viewers: see which layers they get.",
        ),
        Panel(
            title="Viewers by layer",
            queries=(Query(Level(media.VIEWERS, "sum", "layer"), "layer {{layer}}"),),
            wrong="Most at layer 0: estimates are low or publishers send one layer only. Look at both beside this.",
        ),
        Panel(
            title="Layers that publishers send, and streams",
            queries=(_level(media.LAYERS_SENT, "layers"), _level(media.LIVE_ROOMS, "streams")),
            wrong="One layer a stream: publishers' uplinks or processors are too weak for simulcast.",
        ),
        Panel(
            title="Changes of layer",
            unit="per second",
            queries=(_rate(media.LAYER_DECISIONS, "reason"),),
            wrong="`overuse`, `loss` and `queue` rise together: a network in between is full. Is it our own?",
        ),
        Panel(
            title="What ways to viewers carry",
            unit="bits per second",
            queries=_quantiles(media.ESTIMATE),
            wrong="All fall at once: the hosts' own network. Compare with bytes out per host.",
        ),
        Panel(
            title="Round trips to viewers",
            unit="seconds",
            queries=_quantiles(media.ROUND_TRIP),
            wrong="Rising with load: queues, in our sockets or in the network. Look at send failures.",
        ),
        Panel(
            title="Packets lost for good",
            unit="per second",
            queries=(_rate(media.UPLINK_LOST), _rate(media.DOWNLINK_LOST)),
            wrong="Uplink: one publisher's network. Downlink of everybody: ours.",
        ),
        Panel(
            title="Repair",
            unit="per second",
            queries=(
                _rate(media.TRAFFIC["nacks_in"]),
                _rate(media.TRAFFIC["nacks_out"]),
                _rate(media.TRAFFIC["packets_resent"]),
            ),
            wrong="Sent again above 5 % of packets out: as for packets lost.",
        ),
        Panel(
            title="Keyframe requests",
            unit="per second",
            queries=(_rate(media.TRAFFIC["keyframe_requests_in"]), _rate(media.TRAFFIC["keyframe_requests_out"])),
            wrong="Out near one a second a stream: viewers cannot decode what they get. Find the codec they share.",
        ),
        Panel(
            title="Dropped",
            unit="per second",
            queries=(_rate(media.DROPS, "reason"),),
            wrong="`internal_error` and `plane_queue` are ours: the first is a fault, the second too much load. "
            "`unknown_address` and `not_webrtc` are strangers.",
        ),
        Panel(
            title="Datagrams that the kernel did not take",
            unit="per second",
            queries=(_rate(media.TRAFFIC["send_failures"]),),
            wrong="Above 0: net.core.wmem_max is too small, or the interface is full.",
        ),
        Panel(
            title="Event loop, lateness",
            unit="seconds",
            queries=_quantiles(media.LOOP_LAG),
            wrong="95 % above 50 ms: the worker has too much to do; lower HEADRACE_SFU_CAPACITY_PPS.",
            limit=0.05,
        ),
        Panel(
            title="Age of the oldest registration",
            unit="seconds",
            queries=(Query(Level(media.REGISTRATION_AGE, "max"), "oldest"),),
            wrong="Above 5: placement has forgotten that worker. Can it reach Redis?",
            limit=5,
        ),
        Panel(
            title="Calls to workers",
            unit="seconds",
            queries=_quantiles(web.SFU_SECONDS),
            wrong="95 % above 250 ms: a worker's loop is late, or the network between functions and workers.",
        ),
        Panel(
            title="Calls that failed",
            unit="per second",
            queries=(_rate(web.SFU_ERRORS, "code"),),
            wrong="`unreachable`: a worker died or its control port is closed to functions.",
        ),
        _CPU,
        _MEMORY,
    ),
)

STATE = Dashboard(
    name="state",
    title="Headrace: state",
    panels=(
        _DEPENDENCIES,
        Panel(
            title="Answers of Redis and MongoDB",
            unit="seconds",
            queries=(Query(Level(state.DEPENDENCY_SECONDS, "max", "dependency"), "{{dependency}}"),),
            wrong="Above 50 ms: it is overloaded or in another zone. Look at its own metrics.",
        ),
        Panel(
            title="Appending to the room log",
            unit="seconds",
            queries=_quantiles(state.APPEND_SECONDS),
            wrong="95 % above 20 ms: Redis is slow; its processor, or a large room's scripts.",
        ),
        Panel(
            title="Messages in one append",
            queries=(Query(Mean(state.APPEND_BATCH), "mean"),),
            wrong="No sign by itself: more when a room is busy.",
        ),
        Panel(
            title="Reads of the log that failed",
            unit="per second",
            queries=(_rate(state.TAIL_ERRORS),),
            wrong="Above 0 for longer than a failover: docs/runbooks/dependency-down.md.",
        ),
        Panel(
            title="Connections to Redis",
            queries=(Query(Level(state.REDIS_POOL, "sum", "state"), "{{state}}"),),
            wrong="`used` rises: commands wait. Redis is slow or a command hangs.",
        ),
        Panel(
            title="Connections to MongoDB",
            queries=(Query(Level(state.MONGODB_POOL, "sum", "state"), "{{state}}"),),
            wrong="`used` near 20 a process: the pool is used up. Look at command times.",
        ),
        Panel(
            title="MongoDB commands",
            unit="seconds",
            queries=(Query(Quantile(state.MONGODB_SECONDS, 0.95, "command"), "{{command}}"),),
            wrong="`find` slow: an index is missing. `update` slow: its disk.",
        ),
        Panel(
            title="MongoDB failures",
            unit="per second",
            queries=(_rate(state.MONGODB_ERRORS, "command"), _rate(state.MONGODB_CHECKOUT_FAILURES)),
            wrong="Above 0 for longer than an election takes: docs/runbooks/dependency-down.md.",
        ),
        Panel(
            title="Archive",
            unit="per second",
            queries=(_rate(state.ARCHIVED), _rate(state.ARCHIVE_ERRORS, "dependency")),
            wrong="Errors and no events: MongoDB. Events wait in Redis meanwhile.",
        ),
        Panel(
            title="Time to archive a batch",
            unit="seconds",
            queries=_quantiles(state.ARCHIVE_SECONDS),
            wrong="Above 1 s: MongoDB is slow to write, and the archive will fall behind.",
        ),
        Panel(
            title="How far the archive is behind",
            unit="seconds",
            queries=(Query(Level(state.ARCHIVE_LAG, "max"), "oldest event"),),
            wrong="Above a minute: follow docs/runbooks/archive-behind.md.",
            limit=60,
        ),
        Panel(
            title="Events lost before they were archived",
            unit="per second",
            queries=(_rate(state.LOST),),
            wrong="Anything above 0: follow docs/runbooks/events-lost.md at once.",
        ),
    ),
)

SLO = Dashboard(
    name="slo",
    title="Headrace: objectives",
    panels=(
        _ERRORS,
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
        _MESSAGE_TIME,
        Panel(
            title="Requests by status",
            unit="per second",
            queries=(_rate(web.HTTP_REQUESTS, "status"),),
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
            queries=(_level(web.HTTP_IN_FLIGHT, "in flight"),),
            wrong="Rising without more requests: something hangs. Look at State.",
        ),
    ),
)

ALL = (OVERVIEW, ROOMS, SIGNALING, SFU_FLEET, STATE, SLO)
