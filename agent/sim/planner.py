"""The motion planner: a bounded queue of moves that run in their own time.

Instants are seconds on the caller's clock; motion runs `speed_up` times faster than modelled. Time is virtual: each
move starts exactly when the one before it ended, however late `advance` is called.
"""

from __future__ import annotations

from math import inf

from agent.sim.lookahead import LookAhead, Move, Plan, Position

FIRST_MOVE_DELAY_S = 0.1  # Marlin holds the first move back to let the planner fill ...
FIRST_MOVE_COUNT = 3  # ... or until so many moves are queued


class Planner:
    """A queue of `slots` moves (one always stays free, as in a ring) of which the oldest is running."""

    def __init__(self, slots: int, speed_up: float = 1.0) -> None:
        self.capacity = max(1, slots - 1)
        self._scale = 1.0 / speed_up
        self._queue = LookAhead()
        self._plan: Plan | None = None
        self._started = 0.0
        self._end = inf  # of the running move
        self._start_at = inf  # of the first move while it is held back
        self.count = 0  # moves queued or running
        self.ideal = IdealClock(self.capacity)
        self.moving_since: float | None = None  # start of the first move since `begin_record`
        self.empty_since = -inf  # when the last move ended; meaningful while count is 0

    def add(self, move: Move, now: float, *, ideal: Move | None = None) -> None:
        """Queue a move. There must be room. `ideal`: the move as it would be with unlimited supply."""
        self._queue.push(move)
        self.count += 1
        self.ideal.add(ideal or move)
        if self._plan is None:
            if self.count == 1:
                self._start_at = now + FIRST_MOVE_DELAY_S * self._scale
            elif self.count >= FIRST_MOVE_COUNT:
                self._start(now)

    def _start(self, now: float) -> None:
        self._plan = self._queue.start_next()
        self._started = now
        self._end = now + self._plan.duration_s * self._scale
        self._start_at = inf
        if self.moving_since is None:
            self.moving_since = now

    def advance(self, now: float) -> None:
        """Let the moves run until `now`."""
        if self._start_at <= now:
            self._start(self._start_at)
        while self._end <= now:
            ended = self._end
            self.count -= 1
            if self._queue:
                self._start(ended)
            else:
                self._plan = None
                self._end = inf
                self._queue.clear()
                self.empty_since = ended

    def begin_record(self) -> None:
        """Forget when motion began and how long it ideally takes (moves still queued count for the new record)."""
        self.moving_since = None if self._plan is None else self._started
        self.ideal = IdealClock(self.capacity)

    @property
    def full(self) -> bool:
        """Whether a further move has to wait."""
        return self.count >= self.capacity

    @property
    def free(self) -> int:
        """Free places, as ADVANCED_OK reports them."""
        return self.capacity - self.count

    def next_event(self) -> float:
        """When the running move ends or the first one starts; infinity at standstill."""
        return min(self._end, self._start_at)

    def position(self, now: float) -> Position | None:
        """Where the tool is between the ends of the running move; None at standstill."""
        plan = self._plan
        if plan is None:
            return None
        done = plan.distance_after((now - self._started) / self._scale) / plan.move.distance
        start, end = plan.move.start, plan.move.end
        return (
            start[0] + (end[0] - start[0]) * done,
            start[1] + (end[1] - start[1]) * done,
            start[2] + (end[2] - start[2]) * done,
            start[3] + (end[3] - start[3]) * done,
        )

    def stop(self, now: float) -> Position | None:
        """Drop all moves at once; returns where the tool stopped (None when it stood still)."""
        self.advance(now)
        place = self.position(now)
        self._queue.clear()
        self._plan = None
        self._end = self._start_at = inf
        if self.count:
            self.empty_since = now
        self.count = 0
        self.ideal.rest()
        return place


class IdealClock:
    """Adds up how long the same moves take when the planner never waits for the host."""

    def __init__(self, capacity: int) -> None:
        self._queue = LookAhead()
        self._known = max(1, capacity - 1)  # a move starts at the moment the one before it leaves its place
        self._ended_s = 0.0

    def add(self, move: Move) -> None:
        """A move was planned."""
        self._queue.push(move)
        if len(self._queue) >= self._known:
            self._ended_s += self._queue.start_next().duration_s

    def rest(self) -> None:
        """The machine has to come to a standstill here (homing, waiting, dwelling)."""
        self._ended_s += _run_out(self._queue)
        self._queue.clear()

    def total_s(self) -> float:
        """Motion time so far, at model speed 1, as if the tool stopped after the last move."""
        return self._ended_s + _run_out(self._queue.copy())


def _run_out(queue: LookAhead) -> float:
    total = 0.0
    while queue:
        total += queue.start_next().duration_s
    return total
