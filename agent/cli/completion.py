"""`fabunit completion`: tab completion for the shell."""

from __future__ import annotations

import os

import click
from click.shell_completion import get_completion_class

from agent.cli.session import Session, local_command
from agent.domain.errors import UsageError

_INSTALL = {
    "bash": "fabunit completion bash > ~/.local/share/bash-completion/completions/fabunit",
    "zsh": "fabunit completion zsh > ~/.zfunc/_fabunit   # and `fpath+=~/.zfunc` before compinit",
    "fish": "fabunit completion fish > ~/.config/fish/completions/fabunit.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(sorted(_INSTALL)), required=False)
@local_command
def completion(session: Session, shell: str | None) -> None:
    """Print the completion script for SHELL (default: yours). It starts with how to install it."""
    wanted = shell or os.environ.get("SHELL", "").rsplit("/", 1)[-1]
    kind = get_completion_class(wanted)
    if kind is None or wanted not in _INSTALL:
        raise UsageError("which shell?", remedy=f"name one of {', '.join(sorted(_INSTALL))}")
    root = click.get_current_context().find_root().command
    script = kind(root, {}, "fabunit", "_FABUNIT_COMPLETE").source()
    install = _INSTALL[wanted]
    # zsh demands its #compdef tag in the first line; a comment after the script is right for all.
    text = f"{script.strip()}\n\n# To install: {install}"
    session.show({"shell": wanted, "install": install, "script": script}, text)
