"""The daemon and what it says of the printer, the stop path and the link."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.ops.doctor.finding import Finding, Level, ok

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.domain.errors import FabunitError


@dataclass(frozen=True, slots=True)
class DaemonFacts:
    """`status` and `learned` are the daemon's own documents; `failure` why there is no status. `unit` names it.

    `start` is the command that starts its service.
    """

    unit: str
    start: str
    status: Mapping[str, Any] | None = None
    learned: Mapping[str, Any] | None = None
    failure: FabunitError | None = None


def judge(facts: DaemonFacts) -> list[Finding]:
    """Return what is wrong."""
    if facts.status is None:
        return [_down(facts)]
    pid = facts.status["unit"]["pid"]
    return [
        ok("daemon", f"the daemon runs (pid {pid})"),
        *_judge_printer(facts.status["printer"], facts.unit),
        *_judge_stop(facts),
        *_judge_link(facts.status["link"]),
        *_judge_warnings(facts.status["warnings"]),
    ]


def _down(facts: DaemonFacts) -> Finding:
    failure = facts.failure
    if failure is not None and failure.code == "denied":
        return Finding("daemon", Level.ERROR, failure.message, failure.remedy)
    why = failure.message if failure is not None else "no daemon answers"
    return Finding(
        "daemon",
        Level.ERROR,
        why,
        f"{facts.start}   (why it stopped: journalctl -u fabunit@{facts.unit} -n 50)",
    )


def _judge_printer(printer: Mapping[str, Any], unit: str) -> list[Finding]:
    state, detail = printer["state"], printer["detail"]
    if state == "offline":
        message = f"the printer does not answer: {detail or 'nobody has answered yet'}"
        return [
            Finding(
                "printer", Level.ERROR, message, "check its power and cable, then: fabunit printer connect"
            )
        ]
    if state == "halted":
        return [
            Finding(
                "printer",
                Level.ERROR,
                f"the printer has stopped itself: {detail}",
                "find out why, reset the printer, then: fabunit printer connect",
            )
        ]
    if state == "connecting":
        return [
            Finding(
                "printer", Level.NOTE, "the daemon is looking for the printer", "fabunit doctor   (again)"
            )
        ]
    if state == "attention":
        return [
            Finding("printer", Level.WARNING, f"the printer waits for a person: {detail}", "fabunit prompt")
        ]
    firmware = printer.get("firmware") or {}
    named = firmware.get("name") or printer["dialect"]
    health = printer["health"]
    found = [ok("printer", f"{state}, {named}, {printer['baud']} baud on unit {unit}")]
    if health["lines_sent"] > 1000 and health["resends"] > health["lines_sent"] * 0.01:
        share = health["resends"] / health["lines_sent"]
        found.append(
            Finding(
                "cable",
                Level.WARNING,
                f"{share:.1%} of the lines had to be sent again: the line to the printer is disturbed",
                "use a short, shielded USB cable, away from motor and mains cables",
            )
        )
    return found


def _judge_stop(facts: DaemonFacts) -> list[Finding]:
    status = facts.status or {}
    if status.get("printer", {}).get("state") in ("offline", "connecting", "halted") or not facts.learned:
        return []
    stop = facts.learned.get("stop") or {}
    match stop.get("parser"):
        case "proven":
            return [ok("stop-path", f"a stop acts at once, proven in {stop['latency_ms']:.0f} ms")]
        case "absent":
            return [
                Finding(
                    "stop-path",
                    Level.WARNING,
                    "this firmware reads a stop only when it is not busy: during a heat-up a stop resets the board "
                    "over DTR, or waits",
                    'build the firmware with EMERGENCY_PARSER, or keep stop_resets = "auto" in [printer]',
                )
            ]
    if stop.get("tested"):
        return [Finding("stop-path", Level.NOTE, "this firmware's stop path cannot be tested from here")]
    return [
        Finding(
            "stop-path",
            Level.WARNING,
            "the way of a stop was never tested with this printer",
            "fabunit printer test-stop",
        )
    ]


def _judge_link(link: Mapping[str, Any] | None) -> list[Finding]:
    if link is None:
        return [ok("link", "stand-alone, no coordinator configured")]
    waiting = link.get("events_waiting") or 0
    if link.get("state") == "online":
        return [ok("link", f"connected to {link.get('broker', '')}, {waiting} events waiting")]
    problem = link.get("problem") or "not connected"
    return [
        Finding(
            "link",
            Level.WARNING,
            f"coordinator {link.get('broker', '')}: {problem}; {waiting} events wait on disk, none is lost",
            link.get("remedy") or "check [coordinator] in the configuration and the network",
        )
    ]


def _judge_warnings(said: list[str]) -> list[Finding]:
    # What the link says is a finding of its own.
    others = [sentence for sentence in said if not sentence.startswith("link: ")]
    return [Finding("daemon-says", Level.NOTE, sentence, "fabunit status") for sentence in others]
