"""From "there may be a printer" to an open port with a known firmware: find, open, try baud rates, shake hands.

Blocking; runs in a worker thread of its own. Nothing here resets a board unless that is asked for.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from agent.domain.errors import PortError
from agent.domain.profile import PrinterProfile
from agent.printer.dialects import by_name
from agent.printer.discovery import PortInfo, resolve
from agent.printer.evidence import Evidence, is_wide, slots_of, window_of
from agent.printer.handshake import Answered, BoardHalted, Garbage, Handshake, Silent, baud_candidates
from agent.printer.learned import LearnedPrinter, learn
from agent.printer.memory import PrinterMemory
from agent.printer.port import KeptPorts, Port, open_port
from agent.printer.stop_path import CAPABILITY, UNTESTED, EmergencyParser, StopPath, is_testable
from agent.printer.stop_trial import try_stop_path
from agent.printer.transcript import Transcript
from agent.printer.window import WindowSize
from agent.printer.wire import Wire

GIVE_UP_POLL_S = 0.2
"""How soon a search for a silent board notices that the daemon stops."""
STUCK_S = 120.0
"""A search without a single step for so long hangs in a driver: name look-ups and network ports end within a minute."""
MODEL_SPEED = "MODEL_SPEED"
"""Field of M115 in which the virtual printer tells that its heaters run faster than life."""
MODEL_SPEED_MOST = 10_000.0
"""More is no model: heat rules stretched by it would watch nothing."""
FIRST_PATIENCE_S = 10.0
"""For the first baud rate: opening may have reset the board, and boot loaders take seconds."""
NEXT_PATIENCE_S = 3.0
"""For further rates of the same open: the board has booted by then."""
SETUP_S = 1.0
"""For the oks of the reporting set-up; a board that is busy answers later, which does no harm."""
REPORT_EVERY_S = 1
KEEPALIVE_S = 1
"""`busy` once a second: a lost ok of a long command is noticed in 1.3 s instead of 2.3 s."""


class Connector:
    """Connects one unit to its printer. `connect` belongs to one thread at a time."""

    def __init__(
        self,
        spec: str,
        baud: int | None,
        profile: PrinterProfile,
        dialect: str = "auto",
        *,
        kept: KeptPorts | None = None,
        memory: PrinterMemory | None = None,
        takeover_expected: bool = False,
    ) -> None:
        """`baud` None means to try; `dialect` "auto" means to ask the firmware. Raises PortError for unknown ones.

        `kept`: ports that outlive the process. `memory`: what was learned before. `takeover_expected`: a
        print of an earlier daemon may stand on the printer, so nothing is tried out on it by itself.
        """
        self.spec = spec
        self.memory = memory or PrinterMemory()
        self.learned: LearnedPrinter | None = None
        self._baud = baud
        self._profile = profile
        self._forced = None if dialect == "auto" else by_name(dialect)
        if dialect != "auto" and self._forced is None:
            msg = f"the dialect {dialect!r} is not known"
            raise PortError(msg, code="port_unsupported", remedy='set [printer] dialect to "auto"')
        self._given_up = threading.Event()
        self._stepped: float | None = None  # when the running search did something last
        self._kept = kept or KeptPorts()
        self._spared = takeover_expected
        self._stop_test_wanted = False
        self._port: Port | None = None

    def use(self, spec: str) -> None:
        """Connect to this port from now on."""
        self.spec = spec
        self.memory.forget_last()

    def give_up(self) -> None:
        """End a running search for a printer, from any thread: the daemon stops."""
        self._given_up.set()

    def want_stop_test(self) -> None:
        """Test the stop path at the next connection, whatever is known of it already."""
        self._stop_test_wanted = True

    def connect(
        self, transcript: Transcript, *, reset: bool = False, known_only: bool = False
    ) -> tuple[Port, Answered]:
        """Open the printer's port, or take over the one an earlier daemon has left open, and find out who answers.

        `reset` pulses DTR first (to revive a halted board). `known_only`: a print is under way; no other baud rate is
        tried than the one that worked last time, and nothing is tried out. Raises PortError naming every port and
        rate tried.
        """
        try:
            return self._search(transcript, reset=reset, known_only=known_only)
        finally:
            self._stepped = None

    def is_stuck(self, now: float) -> bool:
        """Whether a search is under way that does nothing any more; from any thread."""
        stepped = self._stepped
        return stepped is not None and now - stepped > STUCK_S

    def _search(self, transcript: Transcript, *, reset: bool, known_only: bool) -> tuple[Port, Answered]:
        tried: list[str] = []
        failures: list[PortError] = []
        self._stepped = time.monotonic()
        for candidate in self._candidates():
            try:
                return self._connect_to(candidate, transcript, reset=reset, known_only=known_only)
            except PortError as failure:
                if failure.code == "printer_halted":
                    raise
                failures.append(failure)
                tried.append(failure.message)
        if len(failures) == 1:
            raise failures[0]
        raise PortError("; ".join(tried), code="port_silent", remedy=_SILENT_REMEDY)

    def let_go(self, *, lines_lost: int = 0, size: WindowSize | None = None) -> None:
        """The connection is over for good: nobody is to find its port open. `lines_lost` in a window of this `size`."""
        port, self._port = self._port, None
        if port is not None:
            self._kept.forget(port)
        learned = self.learned
        dialect = by_name(learned.dialect) if learned else None
        if learned is None or dialect is None or size is None or not lines_lost:
            return
        if is_wide(learned.evidence(dialect), size):
            self._learn(replace(learned, losses=learned.losses + lines_lost))

    def window(self, identity: Answered) -> WindowSize:
        """How much may be in flight with this printer."""
        learned = self.learned
        evidence = Evidence(identity.dialect) if learned is None else learned.evidence(identity.dialect)
        return window_of(evidence, self._profile.window_lines, self._profile.window_bytes)

    @property
    def stop_path(self) -> StopPath:
        """Whether a stop gets past the connected printer's queue."""
        return self.learned.stop if self.learned is not None else UNTESTED

    def learned_document(self) -> dict[str, Any] | None:
        """What was learned about the printer met last, for people; None before there was one."""
        learned = self.learned or self.memory.last
        dialect = by_name(learned.dialect) if learned else None
        if learned is None or dialect is None:
            return None
        profile = self._profile
        size = window_of(learned.evidence(dialect), profile.window_lines, profile.window_bytes)
        return {
            "stop": learned.stop.to_json(),
            "slots": learned.slots,
            "losses": learned.losses,
            "window": {"lines": size.lines, "bytes": size.bytes},
        }

    def warnings(self) -> list[str]:
        """What a person should know about stopping this printer."""
        learned = self.learned
        if learned is None or self.stop_path.parser is not EmergencyParser.ABSENT:
            return []
        said = learned.firmware is not None and learned.firmware.capabilities.get(CAPABILITY, False)
        why = "announces an emergency parser that does not act" if said else "has no emergency parser"
        return [f"the firmware {why}: a stop waits for a running heat-up or homing; know the mains switch"]

    def reports_by_itself(self, identity: Answered) -> bool:
        """Whether temperatures come without being asked for."""
        if identity.dialect.autoreport is None:
            return False
        return identity.firmware is None or identity.firmware.capabilities.get("AUTOREPORT_TEMP", False)

    def model_speed(self, identity: Answered) -> float:
        """How many times faster than life a virtual printer runs; 1.0 for every real one."""
        fields = identity.firmware.fields if identity.firmware else {}
        try:
            speed = float(fields.get(MODEL_SPEED, 1.0))
        except ValueError:
            return 1.0
        return speed if 1.0 <= speed <= MODEL_SPEED_MOST else 1.0

    # -- one port -------------------------------------------------------------------------------------------------

    def _candidates(self) -> tuple[PortInfo, ...]:
        """The ports to try, those first that are open already. What was left open of others is closed."""
        last = self.memory.last
        # A port that was renamed is found under its lasting name, but never one that is not asked for any more.
        remembered = last.port_id if last is not None and last.spec == self.spec else None
        try:
            found = resolve(self.spec, remembered)
        except PortError:
            self._kept.discard()
            raise
        self._kept.keep_only(found)
        return tuple(sorted(found, key=lambda port: not self._kept.has(port.identity)))

    def _connect_to(
        self, candidate: PortInfo, transcript: Transcript, *, reset: bool, known_only: bool
    ) -> tuple[Port, Answered]:
        patience_s = FIRST_PATIENCE_S
        answers: list[Silent | Garbage] = []
        adopted = self._kept.adopt(candidate, self._baud)
        bauds = self._bauds(candidate, known_only=known_only)
        for baud in bauds if adopted is None else [adopted.baud, *bauds]:
            self._stepped = time.monotonic()
            port = adopted or open_port(candidate.device, baud)
            wire = Wire(port, transcript)
            try:
                if reset:
                    _pulse(port, transcript)
                known = self.memory.of(port.identity)
                # A board that was never out of our hands runs the firmware it ran last time, and so does one that
                # still counts the lines of a print; what cannot be numbered had better not be sent to it at all.
                trusted = known_only or self._spared or adopted is not None
                handshake = self._handshake(known, patience_s, trusted=trusted)
                answer = self._shake_hands(wire, handshake)
                if isinstance(answer, Answered):
                    return self._connected(candidate, port, wire, answer, known_only=known_only)
            except BaseException:
                self._close(port)
                raise
            self._close(port)
            if isinstance(answer, BoardHalted):
                message = f"the printer is halted: {answer.text}"
                raise PortError(
                    message, code="printer_halted", remedy="find the cause, then reset the printer"
                )
            answers.append(answer)
            adopted, patience_s = None, NEXT_PATIENCE_S
        raise _refusal(candidate, bauds, answers)

    def _bauds(self, candidate: PortInfo, *, known_only: bool) -> tuple[int, ...]:
        known = self.memory.of(candidate.identity)
        remembered = known.baud if known else None
        rates = baud_candidates(self._baud or "auto", self._profile.bauds, remembered)
        only_first = "://" in candidate.device or (known_only and known is not None)
        return rates[:1] if only_first else rates

    def _handshake(self, known: LearnedPrinter | None, patience_s: float, *, trusted: bool) -> Handshake:
        return Handshake(
            forced=self._forced,
            remembered=by_name(known.dialect) if known else None,
            firmware=known.firmware if known and trusted else None,
            patience_s=patience_s,
        )

    def _connected(
        self, candidate: PortInfo, port: Port, wire: Wire, answer: Answered, *, known_only: bool
    ) -> tuple[Port, Answered]:
        """Somebody answers: set it up, learn what there is to learn, leave the port to the next daemon."""
        self._kept.discard()
        # A board that was never out of our hands, or in the middle of a print, is set up already. Every line costs a
        # takeover time, and one wrong bit makes another command of it (M113: M112), with no checksum to tell.
        prints = self._spared and self.memory.of(port.identity) is not None and bool(answer.last_line)
        is_set_up = (self._kept.is_kept(port) or prints) and not answer.greeting
        slots = None if answer.busy or is_set_up else self._set_up(wire, answer)
        usb = None if candidate.vid is None or candidate.pid is None else (candidate.vid, candidate.pid)
        found = LearnedPrinter(port.identity, self.spec, port.baud, answer.dialect.name, slots=slots, usb=usb)
        learned = learn(self.memory.of(port.identity), found, answer)
        self._spared = self._spared and not known_only
        again, self._stop_test_wanted = self._stop_test_wanted, False
        wanted = again or not (learned.stop.tested or self._spared)
        if wanted and not known_only and is_testable(answer):
            stop = try_stop_path(wire, answer.dialect.break_wait or b"", self.model_speed(answer))
            learned = replace(learned, stop=stop)
        self._learn(learned)
        self._port = port
        if not self._kept.is_kept(port):
            self._kept.keep(port)
        return port, answer

    def _learn(self, learned: LearnedPrinter) -> None:
        self.learned = learned
        self.memory.learn(learned)

    def _close(self, port: Port) -> None:
        self._kept.forget(port)
        port.close()

    def _shake_hands(self, wire: Wire, handshake: Handshake) -> Answered | Silent | Garbage | BoardHalted:
        handshake.start(time.monotonic())
        while handshake.result is None:
            wire.write(handshake.outgoing())
            deadline = handshake.deadline()
            now = self._stepped = time.monotonic()
            wait_s = (deadline if deadline is not None else now + 1) - now
            data = wire.read(max(0.0, min(wait_s, GIVE_UP_POLL_S)))
            if self._given_up.is_set():
                raise PortError("the daemon is stopping", code="port_lost")
            now = time.monotonic()
            handshake.feed(data, now)
            handshake.on_deadline(now)
        return handshake.result

    def _set_up(self, wire: Wire, answer: Answered) -> int | None:
        """Have the firmware report temperatures and signs of life by itself; unnumbered and harmless.

        Returns how many command slots it has, where its oks tell.
        """
        lines = []
        if answer.dialect.keepalive:
            lines.append(f"M113 S{KEEPALIVE_S}")
        if answer.dialect.autoreport and self.reports_by_itself(answer):
            lines.append(answer.dialect.autoreport.format(s=REPORT_EVERY_S))
        free: list[int] = []
        for line in lines:
            wire.write(line.encode() + b"\n")
            ok = wire.wait_ok(SETUP_S)
            if ok is not None and ok.queue_free is not None:
                free.append(ok.queue_free)
        return slots_of(free)


def _pulse(port: Port, transcript: Transcript) -> None:
    try:
        port.pulse_dtr()
    except PortError as error:
        transcript.note(f"no reset through DTR: {error.message}", time.monotonic())


def _refusal(candidate: PortInfo, bauds: Sequence[int], answers: list[Silent | Garbage]) -> PortError:
    """One sentence for all rates tried; noise at every rate says more than silence."""
    noise = next((answer for answer in answers if isinstance(answer, Garbage)), None)
    answer = noise or answers[-1]
    rates = ", ".join(map(str, bauds))
    message = f"{candidate.device} (tried {rates} baud): {answer.sentence}"
    if noise is not None:
        return PortError(
            message, code="port_wrong_baud", remedy="set [printer] baud to the rate of the firmware"
        )
    return PortError(message, code="port_silent", remedy=_SILENT_REMEDY)


_SILENT_REMEDY = "Switch the printer on, check the USB cable, and look at `fabunit ports`."
