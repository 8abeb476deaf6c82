"""What can go wrong in a worker, with the stable codes that the control API answers."""


class SfuError(Exception):
    """Base of the package's errors. `code` and `status` are what the control API tells its caller."""

    code = "internal"
    status = 500
    title = "Internal error"


class SdpRefused(SfuError):  # noqa: N818 - the term of the control API
    """A session description that is malformed, or that asks for what this worker does not do. The message says why."""

    code = "sdp_refused"
    status = 422
    title = "Session description refused"


class NoPublisher(SfuError):  # noqa: N818 - the term of the control API
    """Nobody publishes in the room."""

    code = "no_publisher"
    status = 409
    title = "Nobody publishes in this room"


class UnknownSession(SfuError):  # noqa: N818 - the term of the control API
    """No session of this worker has that id (any more)."""

    code = "unknown_session"
    status = 404
    title = "Unknown session"


class UnknownLayer(SfuError):  # noqa: N818 - the term of the control API
    """The publisher has no layer of that name."""

    code = "unknown_layer"
    status = 422
    title = "Unknown layer"


class AlreadyRecording(SfuError):  # noqa: N818 - the term of the control API
    """The room is being recorded."""

    code = "already_recording"
    status = 409
    title = "Already recording"


class NotRecording(SfuError):  # noqa: N818 - the term of the control API
    """The room is not being recorded."""

    code = "not_recording"
    status = 404
    title = "Not recording"


class UnknownRecording(SfuError):  # noqa: N818 - the term of the control API
    """No recording of this worker has that id."""

    code = "unknown_recording"
    status = 404
    title = "Unknown recording"


class RecordingInProgress(SfuError):  # noqa: N818 - the term of the control API
    """The recording goes on: it has to be ended before it can be deleted."""

    code = "recording_in_progress"
    status = 409
    title = "The recording goes on"


class AtCapacity(SfuError):  # noqa: N818 - the term of the control API
    """The worker's packet budget is used up."""

    code = "at_capacity"
    status = 503
    title = "No capacity left on this worker"


class Draining(SfuError):  # noqa: N818 - the term of the control API
    """The worker is about to stop and takes nothing new."""

    code = "draining"
    status = 503
    title = "This worker is draining"


class Unauthorized(SfuError):  # noqa: N818 - the term of the control API
    """No token, or one that is not for this API."""

    code = "unauthorized"
    status = 401
    title = "Not authenticated"


class Forbidden(SfuError):  # noqa: N818 - the term of the control API
    """The token is good, but not for this participant or room."""

    code = "forbidden"
    status = 403
    title = "Not allowed"


class Malformed(SfuError):  # noqa: N818 - the term of the control API
    """A request that does not have the shape of the contract."""

    code = "malformed"
    status = 400
    title = "Malformed request"


class RestartUnsupported(SfuError):  # noqa: N818 - the term of the control API
    """An ICE restart (RFC 8445, section 9) was asked for where there is nothing to restart yet."""

    code = "restart_unsupported"
    status = 422
    title = "There is no ICE session to restart"


class EtagMismatch(SfuError):  # noqa: N818 - the term of the control API
    """The request is about an ICE session that is not the current one (RFC 9725, section 4.3.1)."""

    code = "etag_mismatch"
    status = 412
    title = "The ICE session is another one"


class Fenced(SfuError):  # noqa: N818 - the term of the control API
    """The room's origin is another worker by now, under a later lease."""

    code = "fenced"
    status = 409
    title = "The room's origin is another worker"


class TooDeep(SfuError):  # noqa: N818 - the term of the control API
    """The worker is an edge that may not have edges of its own."""

    code = "too_deep"
    status = 409
    title = "This worker is too far from the publisher"


class Unreachable(SfuError):  # noqa: N818 - the state, as operators call it
    """Another worker cannot be reached, or no worker that has the stream."""

    code = "unreachable"
    status = 503
    title = "The room's stream cannot be had at the moment"
