"""When not even the cheapest layer is carried: sound alone, and later the picture again, on trial.

Pure, like `adaptation`, which owns one of these for its viewer. Times are those of its inputs, in seconds.
"""

# More loss than that of the cheapest layer is not a picture any more: repair alone would fill the way.
LOSS_STARVED = 0.20
# An estimate below that share of what is sent, unless it is rising by that much: after a time with sound alone it
# begins low, since a receiver cannot see more than it gets.
SHARE_STARVED = 0.5
RISING = 1.1
# So long without a better sign.
STARVED_FOR_S = 5.0
# Where most is lost there is no picture at all, and clients take the session for broken after five seconds of that.
LOSS_NO_PICTURE = 0.50
NO_PICTURE_FOR_S = 1.0
# What comes so soon after the cheapest layer has begun is still about what was sent before.
SETTLE_S, SETTLE_NO_PICTURE_S = 3.0, 1.0
# Sound alone lasts so long, and after a picture that did not last twice as long as before, up to the maximum.
ALONE_FOR_S = 10.0
ALONE_FOR_MAX_S = 120.0
# A picture that was given up again within this time was no success, one that stayed for the other was.
FAILED_WITHIN_S = 20.0
PROVEN_AFTER_S = 60.0


class Starvation:
    """Of one viewer's video. `alone_for_s` is how long sound alone lasts where nothing else happens."""

    def __init__(self) -> None:
        self.alone_for_s = ALONE_FOR_S
        self._alone_since: float | None = None
        self._resumed_at = float("-inf")
        # Since when the cheapest layer has been too much, by loss and by the estimate.
        self._lossy_since: float | None = None
        self._no_picture_since: float | None = None
        self._short_since: float | None = None
        self._short_at_first = 0

    @property
    def alone(self) -> bool:
        """Whether the viewer gets sound alone."""
        return self._alone_since is not None

    def lost(self, at: float, share: float) -> None:
        """So much of the cheapest layer was lost over the latest window."""
        self._lossy_since = (at if self._lossy_since is None else self._lossy_since) if share > LOSS_STARVED else None
        if share <= LOSS_NO_PICTURE:
            self._no_picture_since = None
        elif self._no_picture_since is None:
            self._no_picture_since = at

    def estimated(self, at: float, bitrate: int, sending: float) -> None:
        """The way was estimated to carry so much, while so much was sent."""
        if bitrate >= SHARE_STARVED * sending:
            self._short_since = None
        elif self._short_since is None or bitrate > RISING * self._short_at_first:
            self._short_since, self._short_at_first = at, bitrate

    def clear(self) -> None:
        """What is sent now is not the cheapest layer: what was noted does not count."""
        self._lossy_since = self._short_since = self._no_picture_since = None

    def due(self, at: float, sent_since: float) -> bool:
        """Whether the video should go, given since when the cheapest layer has been sent."""
        if self._no_picture_since is not None:
            began = max(self._no_picture_since, sent_since + SETTLE_NO_PICTURE_S)
            if at - began >= NO_PICTURE_FOR_S:
                return True
        starts = [since for since in (self._lossy_since, self._short_since) if since is not None]
        return bool(starts) and at - max(min(starts), sent_since + SETTLE_S) >= STARVED_FOR_S

    def begin(self, at: float) -> None:
        """The video goes."""
        if at - self._resumed_at < FAILED_WITHIN_S:
            self.alone_for_s = min(ALONE_FOR_MAX_S, 2 * self.alone_for_s)
        elif at - self._resumed_at > PROVEN_AFTER_S:
            self.alone_for_s = ALONE_FOR_S
        self._alone_since = at
        self.clear()

    def over(self, at: float, well_since: float) -> bool:
        """Whether it is time to try the picture again, when the sound has been well since then."""
        return self._alone_since is not None and at - max(self._alone_since, well_since) >= self.alone_for_s

    def end(self, at: float) -> None:
        """The video is given again, or is not wanted any more; where it was not away, nothing changes."""
        if self._alone_since is None:
            return
        self._alone_since = None
        self._resumed_at = at
        self.clear()
