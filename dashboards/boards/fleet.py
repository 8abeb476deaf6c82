"""The SFU fleet."""

from dashboards.boards.common import CPU, MEMORY, level, quantiles, rate
from dashboards.expressions import Level, Rate, Ratio
from dashboards.panels import Dashboard, Panel, Query
from shared.telemetry.catalogue import media, web

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
            queries=(rate(media.SESSIONS_ENDED, "reason"),),
            wrong="`lost`: networks, or a worker that is held up. `failed`: handshakes, is the UDP range open?",
        ),
        Panel(
            title="Ways between workers opened, people moved, orphans ended",
            unit="per second",
            queries=(rate(media.LINKS, "why"), rate(media.MOVES, "kind"), rate(media.ORPHANS)),
            wrong="`again` without a drain: workers die, or ways between them are cut. Orphans: they died silently.",
        ),
        Panel(
            title="Sessions refused, and people without a place",
            unit="per second",
            queries=(
                rate(media.REFUSED, "code"),
                Query(Rate(web.PLACEMENTS, where=("result", ("no_capacity",))), "no worker found"),
            ),
            wrong="`at_capacity` or no worker: docs/runbooks/fleet-full.md. `no_publisher`: people who came too early.",
        ),
        Panel(
            title="Packets",
            unit="per second",
            queries=(rate(media.TRAFFIC["packets_in"]), rate(media.TRAFFIC["packets_out"])),
            wrong="In without out: nobody watches, or no keyframe came. Look at keyframe requests.",
        ),
        Panel(
            title="Bytes",
            unit="bytes per second",
            queries=(rate(media.TRAFFIC["bytes_in"]), rate(media.TRAFFIC["bytes_out"])),
            wrong="Out is what egress costs. Out of proportion to viewers: see which layers they get.",
        ),
        Panel(
            title="Viewers by layer",
            queries=(Query(Level(media.VIEWERS, "sum", "layer"), "layer {{layer}}"),),
            wrong="Most at layer 0: estimates are low or publishers send one layer only. Look at both beside this.",
        ),
        Panel(
            title="Layers that publishers send, and streams",
            queries=(level(media.LAYERS_SENT, "layers"), level(media.LIVE_ROOMS, "streams")),
            wrong="One layer a stream: publishers' uplinks or processors are too weak for simulcast.",
        ),
        Panel(
            title="Changes of layer",
            unit="per second",
            queries=(rate(media.LAYER_DECISIONS, "reason"),),
            wrong="`overuse`, `loss` and `queue` rise together: a network in between is full. Is it our own?",
        ),
        Panel(
            title="What ways to viewers carry",
            unit="bits per second",
            queries=quantiles(media.ESTIMATE),
            wrong="All fall at once: the hosts' own network. Compare with bytes out per host.",
        ),
        Panel(
            title="Round trips to viewers",
            unit="seconds",
            queries=quantiles(media.ROUND_TRIP),
            wrong="Rising with load: queues, in our sockets or in the network. Look at send failures.",
        ),
        Panel(
            title="Packets lost for good",
            unit="per second",
            queries=(rate(media.UPLINK_LOST), rate(media.DOWNLINK_LOST)),
            wrong="Uplink: one publisher's network. Downlink of everybody: ours.",
        ),
        Panel(
            title="Repair",
            unit="per second",
            queries=(
                rate(media.TRAFFIC["nacks_in"]),
                rate(media.TRAFFIC["nacks_out"]),
                rate(media.TRAFFIC["packets_resent"]),
            ),
            wrong="Sent again above 5 % of packets out: as for packets lost.",
        ),
        Panel(
            title="Probes and feedback",
            unit="per second",
            queries=(rate(media.TRAFFIC["packets_probed"]), rate(media.TRAFFIC["feedbacks_in"])),
            wrong="Probes above 5 % of packets out: viewers want a layer that their ways never carry. No feedback "
            "while Chromium's viewers are there: estimates are REMB's.",
        ),
        Panel(
            title="Keyframe requests",
            unit="per second",
            queries=(rate(media.TRAFFIC["keyframe_requests_in"]), rate(media.TRAFFIC["keyframe_requests_out"])),
            wrong="Out near one a second a stream: viewers cannot decode what they get. Find the codec they share.",
        ),
        Panel(
            title="Dropped",
            unit="per second",
            queries=(rate(media.DROPS, "reason"),),
            wrong="`internal_error` and `plane_queue` are ours: the first is a fault, the second too much load. "
            "`unknown_address` and `not_webrtc` are strangers.",
        ),
        Panel(
            title="Datagrams that the kernel did not take",
            unit="per second",
            queries=(rate(media.TRAFFIC["send_failures"]),),
            wrong="Above 0: net.core.wmem_max is too small, or the interface is full.",
        ),
        Panel(
            title="Event loop, lateness",
            unit="seconds",
            queries=quantiles(media.LOOP_LAG),
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
            queries=quantiles(web.SFU_SECONDS),
            wrong="95 % above 250 ms: a worker's loop is late, or the network between functions and workers.",
        ),
        Panel(
            title="Calls that failed",
            unit="per second",
            queries=(rate(web.SFU_ERRORS, "code"),),
            wrong="`unreachable`: a worker died or its control port is closed to functions.",
        ),
        CPU,
        MEMORY,
    ),
)
