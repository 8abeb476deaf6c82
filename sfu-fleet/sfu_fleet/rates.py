"""How fast something flows: bits per second over the last second, from sizes and times that the caller gives."""

_BUCKETS = 10
_BUCKET_S = 0.1


class RateMeter:
    """A sliding window in tenths of a second."""

    __slots__ = ("_bits", "_bucket", "_first")

    def __init__(self) -> None:
        self._bits = [0] * _BUCKETS
        self._bucket = -1
        self._first = -1

    def add(self, octets: int, now: float) -> None:
        """Count what came."""
        self._advance(now)
        self._bits[self._bucket % _BUCKETS] += octets * 8

    def rate(self, now: float) -> int:
        """Bits per second of the window; of a stream that began within it, of its time so far."""
        self._advance(now)
        filled = min(_BUCKETS, self._bucket - self._first + 1)
        return round(sum(self._bits) / (filled * _BUCKET_S))

    def _advance(self, now: float) -> None:
        bucket = int(now / _BUCKET_S)
        if self._bucket < 0:
            self._bucket = self._first = bucket
        elif bucket > self._bucket:
            for passed in range(self._bucket + 1, min(bucket, self._bucket + _BUCKETS) + 1):
                self._bits[passed % _BUCKETS] = 0
            self._bucket = bucket
