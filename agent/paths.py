"""Where fabunit keeps and finds its files. Standard library only, so that the command line starts fast."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_SYSTEM_CONFIG = Path("/etc/fabunit")
_SYSTEM_STATE = Path("/var/lib/fabunit")
_SYSTEM_RUNTIME = Path("/run/fabunit")
_PACKAGE = Path(__file__).resolve().parent

SOCKET_NAME = "fabunit.sock"
CONFIG_NAME = "fabunit.toml"


def default_socket(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the path of the control socket.

    `$FABUNIT_SOCKET`, else in `$RUNTIME_DIRECTORY`, else in `/run/fabunit`, else per user.
    `/run/fabunit` counts when a daemon's socket is there or when this user may create one there.
    """
    if explicit := environ.get("FABUNIT_SOCKET"):
        return Path(explicit)
    return runtime_dir(environ) / SOCKET_NAME


def running_sockets(runtime: Path = _SYSTEM_RUNTIME) -> tuple[Path, ...]:
    """Return the sockets of the units that run as services (`fabunit@NAME`), by name.

    A folder we may not look into counts: whoever tries its socket is told which group to join.
    """
    try:
        folders = sorted(entry for entry in runtime.iterdir() if entry.is_dir())
    except OSError:
        return ()
    return tuple(
        folder / SOCKET_NAME
        for folder in folders
        if os.path.lexists(folder / SOCKET_NAME) or not os.access(folder, os.X_OK)
    )


def runtime_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the directory of socket and lock; it need not exist yet."""
    if given := _first_directory(environ, "RUNTIME_DIRECTORY"):
        return given
    system = _SYSTEM_RUNTIME
    if os.geteuid() == 0 or os.path.lexists(system / SOCKET_NAME) or os.access(system, os.W_OK | os.X_OK):
        return system
    if given := _absolute(environ.get("XDG_RUNTIME_DIR")):
        return given / "fabunit"
    # Never below /tmp: another user could be there first.
    return state_dir(environ) / "run"


def state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Return the default `unit.state_dir`: `$STATE_DIRECTORY`, else `/var/lib/fabunit` for root, else XDG."""
    if given := _first_directory(environ, "STATE_DIRECTORY"):
        return given
    if os.geteuid() == 0:
        return _SYSTEM_STATE
    base = _absolute(environ.get("XDG_STATE_HOME")) or _home(environ) / ".local" / "state"
    return base / "fabunit"


def config_dirs(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Return the directories of the configuration and the maker's own profiles, most specific first."""
    found: list[Path] = []
    if given := _first_directory(environ, "CONFIGURATION_DIRECTORY"):
        found.append(given)
    if os.geteuid() != 0:
        base = _absolute(environ.get("XDG_CONFIG_HOME")) or _home(environ) / ".config"
        found.append(base / "fabunit")
    found.append(_SYSTEM_CONFIG)
    return tuple(dict.fromkeys(found))


def default_config(environ: Mapping[str, str] = os.environ) -> Path | None:
    """Return the configuration in use without `--config`: `$FABUNIT_CONFIG`, else the first that exists."""
    if explicit := environ.get("FABUNIT_CONFIG"):
        return Path(explicit)
    for directory in config_dirs(environ):
        candidate = directory / CONFIG_NAME
        if os.path.lexists(candidate):
            return candidate
    return None


def profiles_dirs(environ: Mapping[str, str] = os.environ) -> tuple[Path, ...]:
    """Return the roots of `printers/`, `materials/`, `qualities/`: the maker's own first, bundled last."""
    return (*(directory / "profiles" for directory in config_dirs(environ)), data_dir() / "slicer_profiles")


def data_dir() -> Path:
    """Return the parent of the bundled `slicer_profiles/`: inside the wheel, or the source checkout."""
    installed = _PACKAGE / "_data"
    return installed if installed.is_dir() else _PACKAGE.parent


def demo_part() -> Path:
    """Return the bundled, ready sliced part that `fabunit demo` prints (for the profile generic-220)."""
    return _PACKAGE / "demo_part" / "fabunit-demo.gcode"


def _first_directory(environ: Mapping[str, str], name: str) -> Path | None:
    """Take the first: systemd gives a colon-separated list of directories."""
    return _absolute(environ.get(name, "").split(":", 1)[0])


def _absolute(value: str | None) -> Path | None:
    """Ignore relative paths, as the XDG base directory specification demands."""
    return Path(value) if value and value.startswith("/") else None


def _home(environ: Mapping[str, str]) -> Path:
    return _absolute(environ.get("HOME")) or Path.home()
