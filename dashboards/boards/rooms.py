"""What people do and meet with: the overview, and rooms."""

from dashboards.boards.common import (
    CPU,
    DEPENDENCIES,
    ERRORS_PANEL,
    LIVE_ROOMS,
    MEMORY,
    MESSAGE_TIME,
    WATCHING,
    level,
    quantiles,
    rate,
)
from dashboards.expressions import Firing, Level, Rate
from dashboards.panels import Dashboard, Panel, Query
from shared.telemetry.catalogue import media, process, signaling, state, web

OVERVIEW = Dashboard(
    name="overview",
    title="Headrace: overview",
    panels=(
        Panel(
            title="Alerts that fire",
            queries=(Query(Firing(), "{{alertname}}"),),
            wrong="Each has a page of its name in docs/runbooks. Begin with ServiceDown and DependencyDown: others "
            "follow from these.",
            limit=1,
        ),
        LIVE_ROOMS,
        WATCHING,
        ERRORS_PANEL,
        MESSAGE_TIME,
        Panel(
            title="What people do",
            unit="per second",
            queries=(
                Query(Rate(state.APPENDED, where=("outcome", ("appended",))), "messages and gifts"),
                Query(Rate(signaling.GIFTS), "gifts"),
                Query(Rate(web.ROOMS_CREATED), "rooms created"),
                Query(Rate(web.GUESTS_CREATED), "new people"),
                Query(Rate(web.USERS_CREATED), "new accounts"),
            ),
            wrong="All at 0 while people are connected: the room log takes nothing. Look at State.",
        ),
        Panel(
            title="Watch time, viewer seconds per second",
            queries=(Query(Rate(media.WATCH_SECONDS), "watching"),),
            wrong="It follows the viewers' media sessions; when not, the worker's census has stopped: restart it.",
        ),
        DEPENDENCIES,
        CPU,
        MEMORY,
        Panel(
            title="Processes for each function",
            queries=(Query(Level(web.SERVES, "sum", "function"), "{{function}}"),),
            wrong="One at 0, or fewer than tasks are wanted: docs/runbooks/service-down.md.",
        ),
        Panel(
            title="Processes that drain",
            queries=(level(process.DRAINING, "draining"),),
            wrong="Above 0 for longer than a deployment takes: a drain does not end. Its deadline is "
            "HEADRACE_DRAIN_DEADLINE_S; look at the logs of that process.",
        ),
    ),
)


ROOMS = Dashboard(
    name="rooms",
    title="Headrace: rooms",
    panels=(
        LIVE_ROOMS,
        WATCHING,
        Panel(
            title="Connections of the fullest room",
            queries=(Query(Level(signaling.ROOM_CONNECTIONS_MAX, "max"), "connections"),),
            wrong="Above 1,000: follow docs/runbooks/room-too-full.md.",
            limit=1000,
        ),
        Panel(
            title="Messages by what became of them",
            unit="per second",
            queries=(rate(state.APPENDED, "outcome"),),
            wrong="`unknown`: Redis did not answer, look at State. `too_fast` and `blocked`: somebody floods; the "
            "owner can set slow mode.",
        ),
        Panel(
            title="Gaps that clients were told of",
            unit="per second",
            queries=(rate(state.GAPS, "reason"),),
            wrong="`epoch`: a log was lost, look at Redis' failovers. `trimmed`: people were away for longer than a "
            "room keeps; harmless one by one.",
        ),
        Panel(
            title="Bitrate that viewers receive",
            unit="bits per second",
            queries=quantiles(signaling.PLAYBACK_BITRATE),
            wrong="Median falls: compare with the estimates in SFU fleet. If estimates are high, publishers send less.",
        ),
        Panel(
            title="Freezes that viewers report",
            unit="per second",
            queries=(rate(signaling.PLAYBACK_FREEZES),),
            wrong="Rising: look at losses in SFU fleet; on the way up it is the publisher, on the way down the viewer.",
        ),
        Panel(
            title="Recordings",
            queries=(level(media.RECORDINGS, "going on"),),
            wrong="Fewer than live rooms that record: look for `recording` in the workers' logs; the disk may be full.",
        ),
        Panel(
            title="Uploads of recordings",
            unit="per second",
            queries=(rate(media.RECORDING_UPLOADS, "outcome"),),
            wrong="`failed` and no `done`: the object store or its credentials. Recordings stay where they are.",
        ),
    ),
)
