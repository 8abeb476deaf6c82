"""Whether a queue is growing: the slope of the delay, against a threshold that adapts to what else is on the way.

The slope is that of a straight line through the latest smoothed delays, by least squares (libwebrtc's trendline
estimator; the draft has a Kalman filter in this place, section 5.3). The threshold and what counts as over-use are
those of draft-ietf-rmcat-gcc-02, section 5.4, with the parameters of section 5.6 as Carlucci et al. tuned them.
"""

from enum import IntEnum

WINDOW = 20
_SMOOTHING = 0.9
# From a slope to something that is compared with milliseconds: the slope is over at most this many groups.
_MAX_GROUPS = 60
_GAIN = 4.0
_THRESHOLD_START, _THRESHOLD_MIN, _THRESHOLD_MAX = 12.5, 6.0, 600.0
_RISE, _FALL = 0.0087, 0.039
# A spike above the threshold by more than this does not raise it.
_SPIKE = 15.0
_LONGEST_STEP_MS = 100.0
_OVERUSE_MS = 10.0


class Signal(IntEnum):
    """What the detector says of the way."""

    UNDERUSE = -1
    NORMAL = 0
    OVERUSE = 1


class Trendline:
    """Fed with the differences between groups; `signal` is what they mean."""

    def __init__(self) -> None:
        self.signal = Signal.NORMAL
        self.threshold = _THRESHOLD_START
        self.trend = 0.0
        self._groups = 0
        self._accumulated = self._smoothed = 0.0
        self._began = 0.0
        self._times = [0.0] * WINDOW
        self._delays = [0.0] * WINDOW
        self._slope = self._previous_slope = 0.0
        self._over_ms = -1.0
        self._over_count = 0
        self._adapted_at = -1.0

    def update(self, sent_delta: float, arrived_delta: float, arrived: float) -> None:
        """Take the difference between two groups, the later of which arrived then."""
        if self._groups == 0:
            self._began = arrived
        self._accumulated += arrived_delta - sent_delta
        self._smoothed = _SMOOTHING * self._smoothed + (1.0 - _SMOOTHING) * self._accumulated
        place = self._groups % WINDOW
        self._times[place] = arrived - self._began
        self._delays[place] = self._smoothed
        self._groups += 1
        if self._groups >= WINDOW:
            self._slope = self._fit(self._slope)
        self._detect(sent_delta, arrived)

    def _fit(self, before: float) -> float:
        time_sum = delay_sum = 0.0
        for place in range(WINDOW):
            time_sum += self._times[place]
            delay_sum += self._delays[place]
        time_mean, delay_mean = time_sum / WINDOW, delay_sum / WINDOW
        above = below = 0.0
        for place in range(WINDOW):
            distance = self._times[place] - time_mean
            above += distance * (self._delays[place] - delay_mean)
            below += distance * distance
        return above / below if below > 0.0 else before

    def _detect(self, sent_delta: float, arrived: float) -> None:
        if self._groups < 2:
            return
        self.trend = min(self._groups, _MAX_GROUPS) * self._slope * _GAIN
        if self.trend > self.threshold:
            # Half of the first interval, since it is not known when in it the queue began to grow.
            self._over_ms = sent_delta / 2.0 if self._over_ms < 0.0 else self._over_ms + sent_delta
            self._over_count += 1
            if self._over_ms > _OVERUSE_MS and self._over_count > 1 and self._slope >= self._previous_slope:
                self._over_ms = 0.0
                self._over_count = 0
                self.signal = Signal.OVERUSE
        else:
            self._over_ms = -1.0
            self._over_count = 0
            self.signal = Signal.UNDERUSE if self.trend < -self.threshold else Signal.NORMAL
        self._previous_slope = self._slope
        self._adapt(arrived)

    def _adapt(self, arrived: float) -> None:
        size = abs(self.trend)
        if self._adapted_at < 0.0:
            self._adapted_at = arrived
        if size <= self.threshold + _SPIKE:
            gain = _FALL if size < self.threshold else _RISE
            step = min(max(arrived - self._adapted_at, 0.0), _LONGEST_STEP_MS)
            self.threshold += gain * (size - self.threshold) * step
            self.threshold = min(max(self.threshold, _THRESHOLD_MIN), _THRESHOLD_MAX)
        self._adapted_at = arrived
