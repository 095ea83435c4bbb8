"""The status document as a rich renderable: calm, readable at 40 columns and without colour.

Used by `fabunit status --watch` and `fabunit demo`. Import it late: it loads rich.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.constrain import Constrain
from rich.padding import Padding
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from agent.cli.sparkline import sparkline
from agent.cli.summary import finish_time, layer_words, left, link_word
from agent.cli.wording import celsius, duration, heater_name, percent, printable

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

Status = dict[str, Any]

# Below this the view stacks instead of placing things side by side.
NARROW = 60
# A wider view only puts more air between a name and its value.
WIDEST = 100
QUEUE_ROWS = 6

_STATE_STYLE = {
    "idle": "green",
    "printing": "cyan",
    "pausing": "yellow",
    "paused": "yellow",
    "resuming": "cyan",
    "cancelling": "yellow",
    "attention": "bold yellow",
    "halted": "bold red",
    "offline": "red",
    "connecting": "yellow",
}
_JOB_STYLE = {"printing": "cyan", "paused": "yellow", "ready": "green", "held": "yellow"}


def render(status: Status) -> RenderableType:
    """Draw one status document; the width is that of the console at the time of drawing."""
    return _View(status)


def render_absence() -> RenderableType:
    """Draw that the daemon does not answer at the moment."""
    text = Text.assemble(
        ("○ no daemon", "bold red"), "\nIt may be restarting; a running print goes on. Waiting for it …"
    )
    return Padding(text, (1, 2))


@dataclass(frozen=True, slots=True)
class _View:
    status: Status

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, WIDEST)
        narrow = width < NARROW
        inner = width - (2 if narrow else 4)
        parts: list[RenderableType] = [_head(self.status, inner, narrow=narrow), Rule(style="dim")]
        parts += _prompt(self.status)
        parts += _warnings(self.status)
        parts += _print(self.status, inner)
        parts += _heat(self.status, inner, is_ascii=options.ascii_only)
        parts += _queue(self.status)
        parts += _foot(self.status, inner)
        del console
        yield Constrain(Padding(Group(*parts), (0, 1) if narrow else (1, 2)), width)


def _head(status: Status, width: int, *, narrow: bool) -> RenderableType:
    unit, printer = status["unit"], status["printer"]
    state = printer["state"]
    dot = "○" if state in ("offline", "connecting") else "●"
    left = Text.assemble((f"{dot} {state}", f"bold {_STATE_STYLE.get(state, '')}".strip()))
    name = printable(unit["name"] or unit["id"])
    if narrow:
        head = Text.assemble(left, "  ", (name, "bold"))
    else:
        right = Text.assemble((name, "bold"), (f"  up {duration(unit['uptime_s'])}", "dim"))
        head = Text.assemble(left, " " * max(2, width - left.cell_len - right.cell_len), right)
    head.no_wrap, head.overflow = True, "ellipsis"
    detail = printable(printer["detail"])
    return Group(head, Text(detail, style="dim")) if detail else head


def _prompt(status: Status) -> list[RenderableType]:
    question = status["printer"]["prompt"]
    if question is None:
        return []
    body = Text(printable(question["text"]), style="bold")
    for number, choice in enumerate(question["choices"]):
        body.append(f"\n  {number}  {printable(choice)}", style="not bold")
    body.append("\nanswer with: fabunit answer NUMBER", style="dim not bold")
    return [Panel(body, title="the printer asks", title_align="left", border_style="yellow"), Text()]


def _warnings(status: Status) -> list[RenderableType]:
    lines: list[RenderableType] = [
        Text(f"! {printable(warning)}", style="yellow") for warning in status["warnings"]
    ]
    return [*lines, Text()] if lines else []


def _print(status: Status, width: int) -> list[RenderableType]:
    progress, job = status["printer"]["progress"], status["job"]
    if progress is None:
        return []
    name = printable(job["name"] if job else progress["print_id"])
    title = Text(name, style="bold", no_wrap=True, overflow="ellipsis")
    if job and job["copies"] > 1:
        title.append(f"  copy {job['copies_done'] + 1} of {job['copies']}", style="not bold")
    if job and job["material"]:
        title.append(f"  {printable(job['material'])}", style="dim not bold")
    share = percent(progress["fraction"]).rjust(5)
    bar = Table.grid(padding=(0, 1))
    bar.add_row(
        ProgressBar(
            total=1.0,
            completed=progress["fraction"],
            width=max(10, width - len(share) - 2),
            complete_style="cyan",
            finished_style="green",
            style="bright_black",
        ),
        Text(share, style="bold"),
    )
    done = finish_time(status)
    times = [
        f"{left(progress)} left" if done else "",
        f"done about {done}" if done else "",
        f"{duration(progress['elapsed_s'])} so far",
    ]
    height = "" if progress["z_mm"] is None else f"{progress['z_mm']:.2f} mm high"
    place = [layer_words(progress), height, f"line {progress['line']}/{progress['lines']}"]
    return [title, bar, _joined(times, width), _joined(place, width, style="dim"), Text()]


def _heat(status: Status, width: int, *, is_ascii: bool) -> list[RenderableType]:
    printer = status["printer"]
    if not printer["temperatures"] and printer["fan"] is None:
        return []
    grid = Table.grid(padding=(0, 2))
    for justify in ("left", "right", "left"):
        grid.add_column(justify=justify, no_wrap=True)
    grid.add_column(no_wrap=True, overflow="crop")
    series = status.get("samples") or {}
    for key, values in printer["temperatures"].items():
        columns = min(48, width - 30)
        line = sparkline(series.get(key, []), columns, is_ascii=is_ascii) if columns >= 8 else ""
        target = values["target"]
        grid.add_row(
            heater_name(key),
            Text(celsius(values["actual"]), style="bold"),
            Text(f"of {target:.0f} °C" if target else "°C", style="" if target else "dim"),
            Text(line, style="red" if target else "blue"),
        )
    if printer["fan"] is not None:
        grid.add_row("fan", Text(f"{printer['fan'] * 100:.0f}", style="bold"), "%", "")
    return [grid, Text()]


def _queue(status: Status) -> list[RenderableType]:
    waiting = [job for job in status["queue"]["jobs"] if job["state"] not in ("printing", "paused")]
    if not waiting:
        return []
    grid = Table.grid(padding=(0, 2), expand=True)
    grid.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
    grid.add_column(no_wrap=True)
    grid.add_column(no_wrap=True, justify="right")
    for job in waiting[:QUEUE_ROWS]:
        name = Text(printable(job["name"]))
        if job["copies"] > 1:
            name.append(f"  {job['copies_done']}/{job['copies']}", style="dim")
        time_left = duration(job["estimate_s"]) if job["estimate_s"] is not None else ""
        grid.add_row(
            name, Text(job["state"], style=_JOB_STYLE.get(job["state"], "dim")), Text(time_left, style="dim")
        )
    active = sum(status["queue"]["counts"].get(state, 0) for state in ("printing", "paused"))
    hidden = status["queue"]["total"] - active - min(len(waiting), QUEUE_ROWS)
    more = [Text(f"and {hidden} more", style="dim")] if hidden > 0 else []
    return [Text("next", style="dim"), grid, *more, Text()]


def _foot(status: Status, width: int) -> list[RenderableType]:
    printer = status["printer"]
    bed = Text.assemble(("bed ", "dim"), (status["bed"], "green" if status["bed"] == "clear" else "yellow"))
    bed.append_text(Text.assemble("   ", ("link ", "dim"), link_word(status)))
    lines: list[RenderableType] = [bed, _port(printer, width)]
    if printer["message"]:
        lines.append(Text.assemble(("says ", "dim"), printable(printer["message"])))
    return lines


def _port(printer: dict[str, Any], width: int) -> Text:
    if not printer["port"]:
        return Text.assemble(("port ", "dim"), "none")
    health = printer["health"]
    name = printable(printer["port"]).removeprefix("/dev/").removeprefix("serial/by-id/")
    faults = [f"{health[fault]} {fault}" for fault in ("timeouts", "garbled", "reconnects") if health[fault]]
    text = Text.assemble(("port ", "dim"), name, (f" {printer['baud']}" if printer["baud"] else "", "dim"))
    quality = [f"{health['resends']} resends", *faults]
    if health["ok_p50_ms"]:
        quality.append(f"ok {health['ok_p50_ms']:.1f} ms, 99 % {health['ok_p99_ms']:.1f} ms")
    style = "yellow" if faults or health["resends"] else "dim"
    text.append("\n").append_text(_joined(quality, width, style))
    return text


def _joined(parts: list[str], width: int, style: str = "") -> Text:
    """Join with dots; what does not fit the width starts a line of its own instead of breaking inside."""
    lines: list[str] = []
    for part in parts:
        if not part:
            continue
        if lines and len(lines[-1]) + len(part) + 3 <= width:
            lines[-1] += f" · {part}"
        else:
            lines.append(part)
    return Text("\n".join(lines), style=style)
