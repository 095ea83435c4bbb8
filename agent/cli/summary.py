"""The status document as compact plain text. Pure; for pipes, small terminals and `fabunit status`."""

from __future__ import annotations

from typing import Any

from agent.cli.wording import celsius, clock, duration, heater_name, percent, printable

_TOLD_SPREAD_S = 30.0  # below, minutes are shown as they are


def summary(status: dict[str, Any]) -> str:
    """Write the document in a handful of lines."""
    unit, printer = status["unit"], status["printer"]
    state = printer["state"] + (f": {printable(printer['detail'])}" if printer["detail"] else "")
    lines = [f"{printable(unit['name'] or unit['id'])}  {state}"]
    lines += _print_lines(status)
    lines += _heat_line(printer)
    lines.append(f"bed {status['bed']}  queue {queue_counts(status)}  link {link_word(status)}")
    lines.append(port_line(printer))
    if printer["message"]:
        lines.append(f"printer says: {printable(printer['message'])}")
    lines += _prompt_lines(printer)
    lines += [f"warning: {printable(warning)}" for warning in status["warnings"]]
    return "\n".join(lines)


def one_line(status: dict[str, Any]) -> str:
    """Write the document in one line, for logs and pipes that follow a print."""
    printer = status["printer"]
    parts = [clock(status["t_ms"]), printer["state"]]
    progress = printer["progress"]
    if progress is not None:
        parts += [
            percent(progress["fraction"]),
            layer_words(progress),
            f"left {left(progress)}",
        ]
    parts += [
        f"{heater_name(key)} {celsius(values['actual'])}/{values['target']:.0f}"
        for key, values in printer["temperatures"].items()
    ]
    parts += [f"bed {status['bed']}", f"resends {printer['health']['resends']}"]
    return "  ".join(part for part in parts if part)


def queue_counts(status: dict[str, Any]) -> str:
    """Write how many jobs stand in which state."""
    counts = status["queue"]["counts"]
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or "empty"


def link_word(status: dict[str, Any]) -> str:
    """Name the state of the link."""
    link = status["link"]
    return "stand-alone" if link is None else printable(link.get("state", "?"))


def port_line(printer: dict[str, Any]) -> str:
    """Write the port and how well it works."""
    if not printer["port"]:
        return "port none"
    health = printer["health"]
    speed = f" at {printer['baud']} baud" if printer["baud"] else ""
    faults = [
        f"{health[name]} {name}"
        for name in ("resends", "timeouts", "garbled", "reconnects")
        if health[name] or name == "resends"
    ]
    latency = (
        f", ok {health['ok_p50_ms']:.1f} ms (99 % {health['ok_p99_ms']:.1f} ms)"
        if health["ok_p50_ms"]
        else ""
    )
    return f"port {printable(printer['port'])}{speed}, {', '.join(faults)}{latency}"


def layer_words(progress: dict[str, Any]) -> str:
    """Write layer n of m, or nothing where the file does not tell."""
    if progress["layer"] is None:
        return ""
    return f"layer {progress['layer']}" + (f"/{progress['layers']}" if progress["layers"] else "")


def left(progress: dict[str, Any]) -> str:
    """Write how long it still takes, and how far that may be off where it matters: `42 min ± 2 min`."""
    spread = progress.get("plus_minus_s")
    shown = duration(progress["remaining_s"])
    return shown if spread is None or spread < _TOLD_SPREAD_S else f"{shown} ± {duration(spread)}"


def finish_time(status: dict[str, Any]) -> str:
    """Write when the print will be done, or nothing while nobody knows."""
    progress = status["printer"]["progress"]
    if progress is None or progress["remaining_s"] is None:
        return ""
    return clock(status["t_ms"] + progress["remaining_s"] * 1000)


def _print_lines(status: dict[str, Any]) -> list[str]:
    progress, job = status["printer"]["progress"], status["job"]
    if progress is None:
        return []
    name = printable(job["name"]) if job else printable(progress["print_id"])
    copy = f"  copy {job['copies_done'] + 1} of {job['copies']}" if job and job["copies"] > 1 else ""
    done = finish_time(status)
    detail = [
        percent(progress["fraction"]),
        layer_words(progress),
        f"line {progress['line']}/{progress['lines']}",
        f"{duration(progress['elapsed_s'])} so far",
        f"{left(progress)} left, done about {done}" if done else "",
    ]
    return [f"{name}{copy}", "  " + "  ".join(part for part in detail if part)]


def _heat_line(printer: dict[str, Any]) -> list[str]:
    parts = [
        f"{heater_name(key)} {celsius(values['actual'])}"
        + (f" of {values['target']:.0f} °C" if values["target"] else " °C")
        for key, values in printer["temperatures"].items()
    ]
    if printer["fan"] is not None:
        parts.append(f"fan {printer['fan'] * 100:.0f} %")
    return ["  ".join(parts)] if parts else []


def _prompt_lines(printer: dict[str, Any]) -> list[str]:
    question = printer["prompt"]
    if question is None:
        return []
    choices = "  ".join(f"{number}: {printable(text)}" for number, text in enumerate(question["choices"]))
    lines = [f"the printer asks: {printable(question['text'])}"]
    if choices:
        lines.append(f"  {choices}  (fabunit answer NUMBER)")
    return lines
