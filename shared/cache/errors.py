"""What a cache may say instead of an answer."""


class CacheOverloaded(Exception):  # noqa: N818 - a state, not a fault of the program
    """The cache's Valkey is away and what stands behind is guarded: try again in `retry_after_s`."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("too many reads at once while the cache is away")
        self.retry_after_s = retry_after_s
