"""Completion as a person has it: the scripts of `fabunit completion`, driven by the shells themselves."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 20.0
CASES = [
    ("fabunit sta", {"status"}),
    ("fabunit printer test-", {"test-stop"}),
    ("fabunit job s", {"salvage", "show", "start"}),
    ("fabunit status --w", {"--watch"}),
    ("fabunit completion f", {"fish"}),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the program on the PATH and the three scripts where each shell's own instructions put them."""
    folder = tmp_path_factory.mktemp("home")
    program = folder / "bin/fabunit"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m agent "$@"\n')
    program.chmod(0o755)
    for shell in ("bash", "zsh", "fish"):
        said = subprocess.run([str(program), "completion", shell], capture_output=True, text=True, check=True)
        (folder / shell).mkdir()
        (folder / shell / ("_fabunit" if shell == "zsh" else f"fabunit.{shell}")).write_text(said.stdout)
    return folder


def environment(home: Path) -> dict[str, str]:
    clean = {
        "PATH": f"{home}/bin:{os.environ['PATH']}",
        "HOME": str(home),
        "TERM": "dumb",
        "LC_ALL": "C.UTF-8",
    }
    return {**clean, "XDG_CONFIG_HOME": str(home / "config"), "XDG_DATA_HOME": str(home / "data")}


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed here")
@pytest.mark.parametrize(("typed", "offered"), CASES)
def test_bash_offers(home: Path, typed: str, offered: set[str]) -> None:
    script = (
        f"source {home}/bash/fabunit.bash; COMP_WORDS=({typed}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); "
        'entry="$(complete -p fabunit)"; handler="${entry##*-F }"; "${handler%% *}" fabunit; '
        "printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script], capture_output=True, text=True, check=True, env=environment(home)
    )
    assert set(done.stdout.split()) == offered
    assert done.stderr == ""


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed here")
@pytest.mark.parametrize(("typed", "offered"), CASES)
def test_fish_offers(home: Path, typed: str, offered: set[str]) -> None:
    script = f"source {home}/fish/fabunit.fish; complete --do-complete '{typed}'"
    done = subprocess.run(
        ["fish", "--no-config", "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=environment(home),
    )
    assert {line.split("\t")[0] for line in done.stdout.splitlines()} == offered


class Terminal:
    """An interactive shell on a pseudo-terminal."""

    def __init__(self, command: list[str], home: Path) -> None:
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            command, stdin=slave, stdout=slave, stderr=slave, env=environment(home), start_new_session=True
        )
        os.close(slave)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def shows(self, text: str) -> bool:
        """Read what the shell writes until `text` has come."""
        deadline = time.monotonic() + LIMIT_S
        while text not in self.seen:
            ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                return False
            self.seen += os.read(self._master, 4096).decode(errors="replace")
        self.seen = self.seen.partition(text)[2]
        return True

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)


@contextmanager
def interactive(command: list[str], home: Path, preparation: str) -> Iterator[Terminal]:
    """A shell that has loaded the completion."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed here")
    terminal = Terminal(command, home)
    terminal.type(f"{preparation}; echo loa''ded\n")
    assert terminal.shows("loaded"), terminal.seen
    yield terminal
    terminal.close()


def test_tab_in_zsh(home: Path) -> None:
    preparation = f"PS1='ready> '; fpath+={home}/zsh; autoload -U compinit; compinit -u -D"
    with interactive(["zsh", "-f", "-i"], home, preparation) as zsh:
        zsh.type("fabunit sta\t")
        assert zsh.shows("fabunit status"), zsh.seen


def test_tab_in_bash(home: Path) -> None:
    preparation = f"bind 'set enable-bracketed-paste off'; source {home}/bash/fabunit.bash"
    with interactive(["bash", "--norc", "-i"], home, preparation) as bash:
        bash.type("fabunit printer test-\t")
        assert bash.shows("fabunit printer test-stop"), bash.seen
