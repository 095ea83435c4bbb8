"""`simulate`: the virtual printer as a command."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from agent.sim.config import FirmwareConfig
    from agent.sim.server import ServerPaths

DIALECT_NAMES = (
    "marlin-2.1",
    "marlin-2.0",
    "marlin-1.1",
    "prusa-mk3",
    "reprapfirmware",
    "repetier",
    "smoothieware",
    "klipper",
)
BUILD_NAMES = ("full", "host", "default")
THERMAL_FAULTS = ("none", "runaway", "disconnected", "stuck", "mosfet")


class DialectName(click.ParamType):  # type: ignore[type-arg] # a type parameter only from click 8.2 on
    """A dialect name; a wrong one is answered with the nearest valid one."""

    name = "dialect"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the name."""
        text = str(value)
        if text in DIALECT_NAMES:
            return text
        from difflib import get_close_matches  # noqa: PLC0415 - only for the error

        near = get_close_matches(text.lower(), DIALECT_NAMES, n=1, cutoff=0.3)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return self.fail(f"no dialect {text!r}; {hint}Valid: {', '.join(DIALECT_NAMES)}.", param, ctx)


_PROBABILITY = click.FloatRange(0.0, 1.0)
_SECONDS = click.FloatRange(min=0.0)
_LINES = click.IntRange(min=1)


@click.command()
@click.option(
    "--link", type=click.Path(path_type=Path), help="Symbolic link to the port [default: a temporary one]."
)
@click.option(
    "--dialect", type=DialectName(), default="marlin-2.1", show_default=True, help="Firmware family."
)
@click.option(
    "--build",
    type=click.Choice(BUILD_NAMES),
    help="What it was compiled with, where the dialect has several builds [default: full].",
)
@click.option(
    "--baud", type=click.IntRange(min=0), default=0, help="Pace the wire; 0 = native USB [default: 0]."
)
@click.option(
    "--rx-buffer", type=click.IntRange(min=16), help="Receive ring, bytes [default: 128 paced, 1024 USB]."
)
@click.option("--slots", type=_LINES, default=4, show_default=True, help="Command slots.")
@click.option("--planner", type=click.IntRange(min=2), default=16, show_default=True, help="Planner blocks.")
@click.option(
    "--speed",
    type=click.FloatRange(min=0.01, max=1e6),
    default=1.0,
    show_default=True,
    help="Motion, heating and dwell run this many times faster than real.",
)
@click.option(
    "--dead-man-speed",
    type=click.FloatRange(min=1.0, max=1e6),
    default=1.0,
    show_default=True,
    help="The clock of M85 runs this many times faster than real.",
)
@click.option(
    "--command-us", type=click.FloatRange(min=0.0), default=0.0, help="Processor time per command, µs."
)
@click.option("--ledger", type=click.Path(path_type=Path), help="Write every executed command (JSON lines).")
@click.option("--stats", type=click.Path(path_type=Path), help="Write a summary at exit and on SIGUSR1.")
@click.option(
    "--control", type=click.Path(path_type=Path), help="Unix socket that takes words like reset, unplug."
)
@click.option("--advanced-ok", is_flag=True, help="ok carries N, P and B.")
@click.option("--emergency-parser/--no-emergency-parser", default=None, help="[default: as the build has it]")
@click.option("--deaf-parser", is_flag=True, help="Announce the emergency parser but never feed it.")
@click.option("--resend-ok/--no-resend-ok", default=True, help="An ok follows each Resend [default: yes].")
@click.option("--tight-resend", is_flag=True, help='Write "Resend:2" without the blank.')
@click.option("--no-timeouts", is_flag=True, help='Print "wait" once a second while idle.')
@click.option("--reset-on-open", is_flag=True, help="Opening the port resets the board, as DTR does.")
@click.option(
    "--boot-delay", type=_SECONDS, default=0.0, help="Seconds from power-on or reset to the greeting."
)
@click.option("--latency-ms", type=_SECONDS, default=0.0, help="Delay of everything the printer says.")
@click.option(
    "--flip-in", type=_PROBABILITY, default=0.0, help="Probability per line of a wrong bit, to the printer."
)
@click.option("--flip-out", type=_PROBABILITY, default=0.0, help="The same, from the printer.")
@click.option(
    "--drop-bytes", type=_PROBABILITY, default=0.0, help="Per line: a byte is lost, to the printer."
)
@click.option("--drop-bytes-out", type=_PROBABILITY, default=0.0, help="The same, from the printer.")
@click.option("--drop-ok", type=_PROBABILITY, default=0.0, help="Probability that an ok is not sent.")
@click.option("--double-ok", type=_PROBABILITY, default=0.0, help="Probability that an ok is sent twice.")
@click.option(
    "--unplug-after-lines", type=_LINES, help="Pull the cable after so many executed numbered lines."
)
@click.option("--replug-after", type=_SECONDS, help="Seconds after which it is put back.")
@click.option(
    "--reset-after-lines", type=_LINES, help="Reset the board after so many executed numbered lines."
)
@click.option("--dead-after-lines", type=_LINES, help="Hang the MCU after so many executed numbered lines.")
@click.option("--thermal-fault", type=click.Choice(THERMAL_FAULTS), default="none", help="Break the hotend.")
@click.option(
    "--thermal-fault-after", type=_SECONDS, help="Heating seconds until then [default: target reached]."
)
@click.option("--seed", type=int, default=1, show_default=True, help="Of all random faults.")
@click.option("--json", "as_json", is_flag=True, help='Print {"port":…, "pid":…} when ready.')
def simulate(**options: Any) -> None:
    """Run a virtual printer behind a pseudo-terminal until SIGTERM, Ctrl-C or `quit`.

    Opening the printed port talks to a firmware model with real buffers, motion time and heat. The ledger holds what
    it executed, byte for byte.
    """
    from agent.sim.builds import UnknownBuildError  # noqa: PLC0415 - keeps `--help` fast
    from agent.sim.server import Server  # noqa: PLC0415

    paths = _paths(options)
    try:
        server = Server(_config(options), paths)
    except UnknownBuildError as error:
        raise click.BadParameter(str(error), param_hint="--build") from error
    except OSError as error:
        raise click.ClickException(_reason(error)) from error

    def ready() -> None:
        document = {"port": str(paths.link), "device": server.device, "pid": os.getpid()}
        if paths.control is not None:
            document["control"] = str(paths.control)
        text = f"virtual printer ({options['dialect']}) at {paths.link}"
        click.echo(json.dumps(document) if options["as_json"] else text)

    try:
        server.run(ready)
    except OSError as error:
        raise click.ClickException(_reason(error)) from error


def _reason(error: OSError) -> str:
    return str(error) if error.errno is None else f"{error.filename or 'port'}: {error.strerror}"


def _paths(options: dict[str, Any]) -> ServerPaths:
    from agent.sim.server import ServerPaths  # noqa: PLC0415

    link = options["link"]
    if link is None:
        folder = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
        link = (folder if folder.is_dir() else Path(tempfile.gettempdir())) / f"fabunit-printer-{os.getpid()}"
    return ServerPaths(
        Path(os.path.abspath(link)),  # noqa: PTH100 - resolve() would follow the link we are to replace
        options["ledger"],
        options["stats"],
        options["control"],
    )


def _config(options: dict[str, Any]) -> FirmwareConfig:
    from agent.sim.config import FirmwareConfig  # noqa: PLC0415
    from agent.sim.heaters import ThermalFault  # noqa: PLC0415

    same = (
        "dialect",
        "build",
        "baud",
        "rx_buffer",
        "slots",
        "planner",
        "speed",
        "dead_man_speed",
        "advanced_ok",
        "emergency_parser",
        "deaf_parser",
        "resend_ok",
        "tight_resend",
        "no_timeouts",
        "reset_on_open",
        "seed",
        "flip_in",
        "flip_out",
        "drop_bytes",
        "drop_bytes_out",
        "drop_ok",
        "double_ok",
        "unplug_after_lines",
        "reset_after_lines",
        "dead_after_lines",
    )
    return FirmwareConfig(
        **{name: options[name] for name in same},
        command_s=options["command_us"] / 1e6,
        boot_s=options["boot_delay"],
        latency_s=options["latency_ms"] / 1000.0,
        replug_after_s=options["replug_after"],
        thermal_fault=ThermalFault(options["thermal_fault"]),
        thermal_fault_after_s=options["thermal_fault_after"],
    )
