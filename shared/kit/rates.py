"""How often somebody may ask: by address before anything is looked at, by caller once it is known who calls.

A process counts for itself: with three replicas behind a balancer somebody gets up to three times the rate. That
keeps a request free of another server, and is enough for what it is for: that one caller cannot use up a service.
"""

from collections.abc import Mapping
from ipaddress import IPv6Address
from math import ceil
from time import time
from typing import ClassVar

from limits import RateLimitItem, parse
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from kit.problems import Refused

KEYS_MAX = 50_000


class TooManyRequests(Refused):
    """Too many requests in a short time."""

    status = 429
    remedy = "Wait for as many seconds as the header Retry-After says."
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": "60"}

    def __init__(self, whose: str, wait_s: int) -> None:
        super().__init__(f"The limit is by {whose}.", retry_after_s=wait_s)
        self.answer_headers = {"Retry-After": str(wait_s)}


class Counters(Storage):
    """Counts in memory, each until its window ends.

    The library's own memory storage looks at every key a hundred times a second, in a thread: a flood of new
    addresses would cost more by being counted than by being answered. Here whatever has ended is dropped
    when there are too many keys; where that is not enough, all are, and everybody starts anew.
    """

    STORAGE_SCHEME = None
    base_exceptions = ()

    def __init__(self) -> None:
        super().__init__()
        self._held: dict[str, list[float]] = {}  # key → count, end of the window

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        now = time()
        held = self._held.get(key)
        if held is None or held[1] <= now:
            if held is None and len(self._held) >= KEYS_MAX:
                self._drop(now)
            held = self._held[key] = [0, now + expiry]
        held[0] += amount
        return int(held[0])

    def _drop(self, now: float) -> None:
        self._held = {key: held for key, held in self._held.items() if held[1] > now}
        if len(self._held) > KEYS_MAX // 2:
            self._held = {}

    def get(self, key: str) -> int:
        held = self._held.get(key)
        return int(held[0]) if held and held[1] > time() else 0

    def get_expiry(self, key: str) -> float:
        held = self._held.get(key)
        return held[1] if held else time()

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        count = len(self._held)
        self._held = {}
        return count

    def clear(self, key: str) -> None:
        self._held.pop(key, None)


class Rate:
    """A limit such as `600/minute`, counted by key; an empty one lets everything through."""

    def __init__(self, rate: str, whose: str) -> None:
        self._item: RateLimitItem | None = parse(rate) if rate else None
        self._limiter = FixedWindowRateLimiter(Counters())
        self._whose = whose

    def check(self, key: str) -> None:
        """Count one more for `key`. Raises `TooManyRequests`."""
        if self._item and not self._limiter.hit(self._item, key):
            until = self._limiter.get_window_stats(self._item, key).reset_time
            raise TooManyRequests(self._whose, max(1, ceil(until - time())))


def network(address: str) -> str:
    """What counts as one address: of IPv6 the /64, which is one line of one customer."""
    if ":" not in address:
        return address
    try:
        return IPv6Address(address.partition("%")[0]).packed[:8].hex()
    except ValueError:
        return address
