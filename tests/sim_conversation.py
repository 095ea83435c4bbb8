"""The line engine and the virtual printer's firmware model, joined in memory and in virtual time."""

from __future__ import annotations

from collections.abc import Callable

from agent.printer.engine import LineEngine, Mode
from agent.sim.firmware import Firmware


class SimConversation:
    """Steps both sides from event to event; nothing sleeps. `watch` is called after every write."""

    def __init__(
        self, engine: LineEngine, firmware: Firmware, watch: Callable[[], None] | None = None
    ) -> None:
        self.engine, self.firmware = engine, firmware
        self.now = 100.0
        self.events: list[object] = []
        self.said = b""
        self._watch = watch

    @classmethod
    def booted(
        cls, engine: LineEngine, firmware: Firmware, watch: Callable[[], None] | None = None
    ) -> SimConversation:
        """With a board that was switched on a second ago; nobody has read its greeting."""
        conversation = cls(engine, firmware, watch)
        firmware.boot(conversation.now)
        conversation.now += 1.0
        firmware.transmit(conversation.now)
        return conversation

    def step(self) -> bool:
        """Do the next thing; False when nothing is left to do."""
        engine, firmware = self.engine, self.firmware
        data = engine.outgoing(self.now)
        if data:
            firmware.receive(data, self.now)
            if self._watch is not None:
                self._watch()
        self.events += engine.take_events()
        heard = firmware.transmit(self.now)
        if heard:
            self.said = (self.said + heard)[-4000:]
            engine.feed(heard, self.now)
            self.events += engine.take_events()
            return True
        deadline = engine.deadline() if engine.mode is not Mode.DEAD else None
        times = [time for time in (deadline, firmware.deadline()) if time is not None]
        if not times:
            return bool(data)
        self.now = max(self.now + 1e-6, min(times))
        if deadline is not None and self.now >= deadline:
            engine.on_deadline(self.now)
            self.events += engine.take_events()
        return True

    def run_until(self, *kinds: type, limit: int = 3_000_000) -> object:
        """Step until an event of one of these kinds has happened; returns it."""
        for _ in range(limit):
            going = self.step()
            for event in self.events:
                if isinstance(event, kinds):
                    self.events.remove(event)
                    return event
            if not going:
                break
        msg = f"{kinds} never came; mode {self.engine.mode}, last said {self.said[-300:]!r}"
        raise AssertionError(msg)
