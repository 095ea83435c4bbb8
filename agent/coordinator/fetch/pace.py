"""How long a server may take: header time, silence, minimum rate, total time. Pure; times in seconds."""

from __future__ import annotations

from dataclasses import dataclass

from agent.domain.fetching import FetchError


@dataclass(frozen=True, slots=True)
class FetchLimits:
    """Bounds of one attempt. What is cut off in time goes on at the next attempt where the server can."""

    connect_s: float = 10.0
    """For TCP and TLS to one address; a satellite link needs about two."""
    header_s: float = 20.0
    """From the request to the end of the answer's header, redirects separately."""
    idle_s: float = 30.0
    """Silence within the body; long enough for a Wi-Fi roam."""
    window_s: float = 30.0
    """Over which the minimum rate is judged."""
    min_rate_bytes_s: int = 2048
    """Below GPRS; slower is a server that wants to keep us busy."""
    attempt_s: float = 7200.0
    """One attempt; afterwards another job's file gets its turn."""
    min_free_bytes: int = 256 << 20
    """What stays free on the disk."""


class Pace:
    """Keeps the time of one attempt. Every method takes `now_s` of a monotonic clock."""

    def __init__(self, limits: FetchLimits, now_s: float) -> None:
        self._limits = limits
        self._end_s = now_s + limits.attempt_s
        self._phase_end_s = self._end_s
        self._is_body = False
        self._window_bytes = 0

    def begin_header(self, now_s: float) -> None:
        """A request goes out: its answer's header has to arrive in time, however it trickles."""
        self._is_body = False
        self._phase_end_s = now_s + self._limits.header_s

    def begin_body(self, now_s: float) -> None:
        """The header is complete: from here the rate counts."""
        self._is_body = True
        self._begin_window(now_s)

    def wait_s(self, now_s: float) -> float:
        """Return how long the next read may block. Raises FetchError `timed_out` or `too_slow`."""
        left_s = self._end_s - now_s
        if left_s <= 0:
            raise FetchError(
                f"the download took longer than {self._limits.attempt_s:g} s",
                code="timed_out",
                is_transient=True,
                remedy="it goes on later; use a faster server if this stays",
            )
        phase_left_s = self._phase_end_s - now_s
        if phase_left_s <= 0:
            if not self._is_body:
                raise self._too_slow(f"no complete answer within {self._limits.header_s:g} s")
            self._judge_window(now_s)
            phase_left_s = self._phase_end_s - now_s
        return min(left_s, phase_left_s, self._limits.idle_s if self._is_body else phase_left_s)

    def received(self, size_bytes: int, now_s: float) -> None:
        """Count bytes from the wire. Raises FetchError `too_slow` at the end of a window with too few."""
        self._window_bytes += size_bytes
        if self._is_body and now_s >= self._phase_end_s:
            self._judge_window(now_s)

    def silent(self, now_s: float) -> None:
        """Note a read that ended without a byte. Raises FetchError when the server's time is up."""
        self.wait_s(now_s)
        if self._is_body:
            raise self._too_slow(f"the server was silent for {self._limits.idle_s:g} s")

    def _judge_window(self, now_s: float) -> None:
        limits = self._limits
        rate = self._window_bytes / limits.window_s
        if rate < limits.min_rate_bytes_s:
            raise self._too_slow(f"{rate:.0f} bytes/s, at least {limits.min_rate_bytes_s} are wanted")
        self._begin_window(now_s)

    def _begin_window(self, now_s: float) -> None:
        self._window_bytes = 0
        self._phase_end_s = now_s + self._limits.window_s

    @staticmethod
    def _too_slow(message: str) -> FetchError:
        return FetchError(
            f"the server is too slow: {message}",
            code="too_slow",
            is_transient=True,
            remedy="it is tried again later; use a faster server if this stays",
        )
