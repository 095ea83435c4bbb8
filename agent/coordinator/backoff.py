"""How long to wait before the next connection. Pure; the random share is an argument.

Full jitter up to two minutes: 10,000 units that lose one broker come back at less than 250 a second, which one core
can answer with TLS handshakes. Without jitter they come all in the same second, again and again.
"""

from __future__ import annotations

from dataclasses import dataclass

FIRST_S = 5.0
MOST_S = 120.0
# A broker that says it is busy, or out of quota, gets more time.
BUSY_LEAST_S = 30.0
# Two machines with the same client id cut each other off for ever; this keeps it to a few times an hour.
TAKEN_OVER_LEAST_S = 300.0
# Wrong credentials do not mend themselves quickly, and brokers lock out those who insist.
REFUSED_LEAST_S = 20.0
# Only a connection that held this long shows that the trouble is over.
STABLE_S = 60.0
# Even a lucky draw leaves the broker time to notice that the old connection is gone.
LEAST_S = 0.2


@dataclass(slots=True)
class Backoff:
    """Counts failures. `addresses` is how many brokers are tried in turn before the wait grows."""

    addresses: int = 1
    failures: int = 0

    def delay_s(self, jitter: float, least_s: float = LEAST_S) -> float:
        """Count one failure and return the wait; `jitter` is uniform in 0..1.

        The wait is drawn from 0..5 s at first, doubling to 0..120 s; `least_s` shifts it up.
        """
        rounds = min(self.failures // self.addresses, 16)
        self.failures += 1
        return least_s + jitter * min(MOST_S, FIRST_S * 2.0**rounds)

    def reset(self) -> None:
        """The connection was stable: the next loss is a first one."""
        self.failures = 0
