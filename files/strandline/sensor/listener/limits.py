"""Limits that cost constant time and bounded memory, whatever the other side does."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .streams import Connection


class Deadlines:
    """Connections that expire `timeout` seconds after they were last set: kept in the order of expiry, so each step
    is O(1)."""

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self._since: dict[Connection, float] = {}

    def set(self, connection: Connection, now: float) -> None:
        """Start the connection's time anew."""
        self._since.pop(connection, None)
        self._since[connection] = now

    def forget(self, connection: Connection) -> None:
        """The connection no longer expires; an unknown one is no error."""
        self._since.pop(connection, None)

    def oldest(self) -> Connection | None:
        """The one that was set the longest ago."""
        return next(iter(self._since), None)

    def expired(self, now: float) -> Iterator[Connection]:
        """Take out and yield what has expired at `now`."""
        while (oldest := self.oldest()) is not None and self._since[oldest] + self.timeout <= now:
            del self._since[oldest]
            yield oldest

    def next(self) -> float | None:
        """When the next one expires; None when nothing waits."""
        return next((since + self.timeout for since in self._since.values()), None)

    def __len__(self) -> int:
        return len(self._since)


class TokenBuckets:
    """A token bucket for each key and one for all of them together: replies to unproven sources are paid from both.

    At most `keys_max` keys are remembered; the one used the longest ago is forgotten, which gives it a full bucket:
    that is why there is the common bucket.
    """

    def __init__(self, rate: float, burst: float, total_rate: float, total_burst: float, keys_max: int = 4096) -> None:
        self._rate, self._burst = rate, burst
        self._total_rate, self._total_burst = total_rate, total_burst
        self._keys_max = keys_max
        self._buckets: dict[bytes, tuple[float, float]] = {}  # tokens, when
        self._total: tuple[float, float] | None = None

    def take(self, key: bytes, now: float) -> bool:
        """Take one token for the key at `now` (seconds); false when its bucket or the common one is empty."""
        tokens, since = self._buckets.pop(key, (self._burst, now))
        tokens = min(self._burst, tokens + (now - since) * self._rate)
        common, common_since = self._total or (self._total_burst, now)
        common = min(self._total_burst, common + (now - common_since) * self._total_rate)
        granted = tokens >= 1 and common >= 1
        if granted:
            tokens, common = tokens - 1, common - 1
        self._total = (common, now)
        if len(self._buckets) >= self._keys_max:
            del self._buckets[next(iter(self._buckets))]
        self._buckets[key] = (tokens, now)
        return granted
