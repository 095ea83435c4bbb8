"""The `fabunit` command: a group whose subcommands are imported only when they run.

This module imports click and the error tree, nothing else: a command starts fast on a small board.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from agent import __version__
from agent.domain.errors import FabunitError

if TYPE_CHECKING:
    from collections.abc import Sequence

# What a shell reports for a process ended by SIGINT.
INTERRUPTED = 130


class Entry(NamedTuple):
    """Where a command lives (`module:attribute`) and the line `fabunit --help` shows for it."""

    target: str
    help: str


COMMANDS: dict[str, Entry] = {
    "demo": Entry("agent.cli.demo:demo", "Print a real part on a virtual printer; needs nothing."),
    "setup": Entry("agent.cli.setup:setup", "Find the printer and make it a unit, step by step."),
    "run": Entry("agent.cli.run:run", "Run the daemon in the foreground."),
    "status": Entry("agent.cli.status:status", "Show state, temperatures, progress, queue."),
    "print": Entry("agent.cli.print_files:print_files", "Add files as jobs."),
    "jobs": Entry("agent.cli.jobs:jobs", "List the queue."),
    "job": Entry("agent.cli.jobs:job", "Show or change one job."),
    "pause": Entry("agent.cli.running:pause", "Pause the running print."),
    "resume": Entry("agent.cli.running:resume", "Go on with the paused print."),
    "cancel": Entry("agent.cli.running:cancel", "Cancel the running print."),
    "stop": Entry("agent.cli.running:stop", "Emergency stop: heaters and motors off, now."),
    "bed": Entry("agent.cli.running:bed", "The bed latch."),
    "prompt": Entry("agent.cli.running:prompt", "Show what the printer asks."),
    "answer": Entry("agent.cli.running:answer", "Answer what the printer asks."),
    "printer": Entry("agent.cli.printer:printer", "Look at and command the printer."),
    "console": Entry("agent.cli.console:console", "Talk G-code with the printer."),
    "ports": Entry("agent.cli.ports:ports", "List serial ports."),
    "history": Entry("agent.cli.history:history", "List past prints."),
    "receipt": Entry("agent.cli.history:receipt", "Show the receipt of a print."),
    "events": Entry("agent.cli.events:events", "Show what happened, across restarts."),
    "logs": Entry("agent.cli.logs:logs", "Show the daemon's log."),
    "doctor": Entry("agent.cli.doctor:doctor", "Say what is wrong here, and what mends it."),
    "support-bundle": Entry(
        "agent.cli.support_bundle:support_bundle", "Pack what helpers need to see, without secrets."
    ),
    "check": Entry("agent.cli.check:check", "Check whether a mesh can be printed here."),
    "slice": Entry("agent.cli.slice:slice_model", "Slice a mesh as the unit would."),
    "profile": Entry("agent.cli.profile:profile", "List, show and import profiles."),
    "analyse": Entry("agent.cli.analyse:analyse", "Check a G-code file as the unit would."),
    "simulate": Entry("agent.cli.simulate:simulate", "Run the virtual printer behind a pseudo-terminal."),
    "coordinator": Entry(
        "agent.cli.coordinator:coordinator", "Run a small coordinator: push jobs, watch and command units."
    ),
    "completion": Entry("agent.cli.completion:completion", "Print the shell completion script."),
}


class LazyGroup(click.Group):
    """Imports a command only to run it, and turns every failure into an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Name the commands in the order of a newcomer's needs."""
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command, or None for an unknown name."""
        del ctx
        entry = COMMANDS.get(cmd_name)
        return None if entry is None else load(entry)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a mistyped one is answered with the nearest."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from difflib import get_close_matches

            near = get_close_matches(args[0], COMMANDS, n=1, cutoff=0.5)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            ctx.fail(f"No such command '{args[0]}'.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])

    def main(  # type: ignore[override] # one call form of click's overloads
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> None:
        """Run a command and end the process with its exit code (see docs/cli.md)."""
        arguments = list(sys.argv[1:] if args is None else args)
        extra.pop("standalone_mode", None)
        as_json = wants_json(arguments)
        try:
            outcome = super().main(arguments, prog_name or "fabunit", standalone_mode=False, **extra)
        except click.Abort:
            sys.exit(INTERRUPTED)
        except Exception as error:  # noqa: BLE001 - the top of the process: a bug is reported, never a bare traceback
            sys.exit(fail(error, as_json=as_json))
        sys.exit(outcome if isinstance(outcome, int) else 0)


def load(entry: Entry) -> click.Command:
    """Import a command."""
    from importlib import import_module

    module, _, attribute = entry.target.partition(":")
    command = getattr(import_module(module), attribute)
    if not isinstance(command, click.Command):
        raise TypeError(f"{entry.target} is not a command")
    return command


def wants_json(arguments: Sequence[str]) -> bool:
    """Tell whether errors must be JSON, even those of a command line that cannot be parsed."""
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    return "--json" in options


def fail(error: Exception, *, as_json: bool) -> int:
    """Write any failure the way the caller reads it; returns the exit code."""
    if isinstance(error, click.ClickException):
        return _report_usage(error, as_json=as_json)
    if isinstance(error, FabunitError):
        return report(error, as_json=as_json)
    return _report_bug(error, as_json=as_json)


def report(error: FabunitError, *, as_json: bool) -> int:
    """Write a failure the way the caller reads it; returns the exit code."""
    if as_json:
        click.echo(json.dumps({"error": error.to_dict()}, indent=2))
    else:
        click.echo(f"{click.style('error:', fg='red', bold=True)} {error.message}", err=True)
        if error.remedy:
            click.echo(f"{click.style('hint:', bold=True)} {error.remedy}", err=True)
    return error.exit_code


def _report_usage(error: click.ClickException, *, as_json: bool) -> int:
    # Click 8.1, as Trixie has it, knows no such error: it writes the help itself.
    if isinstance(error, getattr(click.exceptions, "NoArgsIsHelpError", ())) and not as_json:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "fabunit"
    failure = FabunitError(error.format_message(), code="usage", remedy=f"see `{path} --help`")
    report(failure, as_json=as_json)
    return 2


def _report_bug(error: Exception, *, as_json: bool) -> int:
    import traceback

    traceback.print_exception(error)
    failure = FabunitError(
        f"fabunit has a fault: {type(error).__name__}: {error}",
        code="internal",
        remedy="please report it with the lines above",
    )
    return report(failure, as_json=as_json)


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, "-V", "--version", prog_name="fabunit", message="%(prog)s %(version)s")
@click.pass_context
def main(context: click.Context) -> None:
    """Drive a 3D printer: a durable queue, safe streaming, no cloud needed.

    Start with `fabunit demo`, or `fabunit run` beside a printer.
    """
    if os.environ.get("NO_COLOR"):
        context.color = False
