"""How much arrives: bits over the last half second of arrivals (draft-ietf-rmcat-gcc-02, section 5.5)."""

BUCKETS = 10
BUCKET_MS = 50.0


class AcknowledgedRate:
    """Bytes by time of arrival. `rate` is 0.0 until there has been half a second of them."""

    def __init__(self) -> None:
        self.rate = 0.0
        self.bytes = 0
        self._bytes = [0] * BUCKETS
        self._bucket = -1
        self._first = -1
        self._arrived = 0.0

    def note(self, arrived: float, size: int) -> None:
        """Note a packet; one that is older than the span is nothing."""
        self.bytes += size
        bucket = int(arrived / BUCKET_MS)
        if self._bucket < 0:
            self._first = self._bucket = bucket
        elif bucket > self._bucket:
            for missed in range(max(self._bucket + 1, bucket - BUCKETS + 1), bucket + 1):
                self._bytes[missed % BUCKETS] = 0
            self._bucket = bucket
        if bucket <= self._bucket - BUCKETS:
            return
        self._arrived = max(self._arrived, arrived)
        self._bytes[bucket % BUCKETS] += size

    def update(self) -> None:
        """Set `rate` from what has been noted.

        It falls by half at most: what comes first after a moment without any arrivals is not a rate.
        """
        if self._bucket - self._first < BUCKETS:
            return
        total = 0
        for size in self._bytes:
            total += size
        span = (BUCKETS - 1) * BUCKET_MS + (self._arrived - self._bucket * BUCKET_MS)
        self.rate = max(total * 8_000.0 / span, 0.5 * self.rate)
