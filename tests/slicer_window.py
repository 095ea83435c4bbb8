"""A real PrusaSlicer with its window, on a display of its own: started, looked at and clicked as a person does."""

from __future__ import annotations

import locale
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from typing import Self

from tests.unit.mesh.shapes import box, stl

NEEDED = ("prusa-slicer", "Xvfb", "xdotool", "openbox", "localedef")
# Starting takes 10 s where the graphics card is computed, more on a crowded machine; a click never does.
START_S = 120.0
CLICK_S = 60.0
_SCREEN = "1400x900x24"
_LOCALE = "en_US.UTF-8"
_SENTINEL = "99.0.0"

_SETTINGS = f"""version_check = 0
notify_release = none
preset_update = 0
show_splash_screen = 0
show_hints = 0
version_system_info_sent = {_SENTINEL}
view_mode = expert

[presets]
filament = Bench PLA
print = Bench 0.3
printer = Bench
physical_printer = Bench unit
"""
_PRINTER = r"""printer_technology = FFF
gcode_flavor = marlin2
bed_shape = 0x0,220x0,220x220,0x220
nozzle_diameter = 0.4
max_print_height = 250
start_gcode = M140 S[first_layer_bed_temperature]\nG28\nM190 S60\nM109 S[first_layer_temperature]
end_gcode = M104 S0\nM140 S0\nM84
use_relative_e_distances = 1
before_layer_gcode = G92 E0
thumbnails = 32x32
"""
_PRINT = """layer_height = 0.3
first_layer_height = 0.3
fill_density = 10%
perimeters = 1
skirts = 1
"""
_FILAMENT = """temperature = 210
first_layer_temperature = 215
bed_temperature = 60
first_layer_bed_temperature = 60
filament_diameter = 1.75
filament_type = PLA
"""
_HOST = """host_type = octoprint
preset_name = Bench
preset_names = Bench
print_host = {url}
printer_technology = FFF
printhost_apikey = {key}
printhost_authorization_type = key
"""


def missing() -> str:
    """Return the first program that is not installed, "" when all are there."""
    return next((name for name in NEEDED if shutil.which(name) is None), "")


class SlicerWindow:
    """PrusaSlicer with one small part loaded, and a printer that is reached at `url` with `key`; a context manager."""

    def __init__(self, folder: Path, url: str, key: str) -> None:
        self.folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        self._environ = {
            name: value for name, value in os.environ.items() if not name.startswith(("LC_", "WAYLAND"))
        }
        data = self._write_presets(url, key)
        part = folder / "bench cube.stl"
        part.write_bytes(stl(box(6.0, 6.0, 1.5)))
        try:
            self._open_display()
            self._start("openbox")
            self._start("prusa-slicer", "--datadir", str(data), str(part))
            self._main = self.window("PrusaSlicer-", START_S)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what was started, by process id, the slicer first."""
        while self._processes:
            process = self._processes.pop()
            if process.poll() is None:
                process.kill()
            process.wait()

    def slice_and_send(self, *, is_print: bool, name: str = "") -> None:
        """Slice, press *Send G-code*, and *Upload* or *Upload and Print* in the dialog."""
        self.press(self._main, "ctrl+r")
        dialog = self._until_sliced()
        if name:
            self.press(dialog, "ctrl+a")
            self._tool("type", "--clearmodifiers", name)
        # From the file's name the keyboard goes to Upload, then to Upload and Print.
        for key in ("Tab", "Tab", "space") if is_print else ("Tab", "space"):
            self.press(dialog, key)
        self.until_gone(dialog)

    def test_connection(self, shot: Path | None = None) -> str:
        """Press *Test* in the physical printer's dialog and return the title of what it answers."""
        self.click(self._main, 1387, 246)  # the cog at the printer's name
        self._settle(self._main)
        for key in ("Down", "Down", "Return"):  # Edit physical printer
            self._tool("key", key)
        dialog = self.window("Physical Printer")
        self._settle(dialog)
        self.click(dialog, 526, 222)
        answer = self.window("PrusaSlicer (- Success|error)")
        title = self._tool("getwindowname", answer)
        if shot is not None:
            self.screenshot(shot)
        self.press(answer, "Return")
        self.until_gone(answer)
        self.press(dialog, "Escape")
        self.until_gone(dialog)
        return title

    def window(self, title: str, limit_s: float = CLICK_S) -> str:
        """Wait for a window whose title begins like this (a regular expression), and return its number."""
        deadline = time.monotonic() + limit_s
        while not (found := self._find(title)):
            self._check(deadline, f"no window {title!r}")
        return found

    def until_gone(self, window: str) -> None:
        """Wait until a window is closed."""
        deadline = time.monotonic() + CLICK_S
        while self._tool("getwindowname", window, check=False):
            self._check(deadline, "the window stays open")

    def press(self, window: str, key: str) -> None:
        """Give a window the keyboard and press a key."""
        self._tool("windowactivate", "--sync", window)
        self._tool("key", "--clearmodifiers", key)

    def click(self, window: str, x_px: int, y_px: int) -> None:
        """Click at a place in a window."""
        self._tool("windowactivate", "--sync", window)
        self._tool("mousemove", "--window", window, str(x_px), str(y_px))
        self._tool("click", "1")

    def screenshot(self, path: Path) -> None:
        """Write what is on the display, where a program for it is installed."""
        if shutil.which("import") is not None:
            subprocess.run(
                ["import", "-window", "root", str(path)], env=self._environ, check=True, timeout=CLICK_S
            )

    def _until_sliced(self) -> str:
        """Ask for the dialog until it opens: the slicer refuses while it still works."""
        deadline = time.monotonic() + START_S
        while not (found := self._find("Send G-Code")):
            self.press(self._main, "ctrl+shift+g")
            self._check(deadline, "nothing to send")
        self._settle(found)
        return found

    def _settle(self, window: str) -> None:
        """Wait until a window keeps its size: what is clicked before lands elsewhere."""
        deadline, before = time.monotonic() + CLICK_S, ""
        while (now := self._tool("getwindowgeometry", window)) != before:
            before = now
            self._check(deadline, "the window does not come to rest")

    def _find(self, title: str) -> str:
        return self._tool("search", "--onlyvisible", "--name", f"^{title}", check=False).partition("\n")[0]

    def _check(self, deadline: float, what: str) -> None:
        gone = next((process for process in self._processes if process.poll() is not None), None)
        if gone is None and time.monotonic() < deadline:
            threading.Event().wait(0.3)  # between two looks at another program
            return
        self.screenshot(self.folder / "screen.png")
        log = (self.folder / "slicer.log").read_text(errors="replace")[-1500:]
        raise AssertionError(
            f"{what}; see {self.folder / 'screen.png'}\n{f'ended: {gone.args!r}' if gone else ''}\n{log}"
        )

    def _tool(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            ["xdotool", *words],
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=CLICK_S,
            check=False,
        )
        assert done.returncode == 0 or not check, f"xdotool {words}: {done.stderr}"
        return done.stdout.strip()

    def _start(self, *command: str) -> None:
        with (self.folder / "slicer.log").open("ab") as log:
            self._processes.append(
                subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environ)
            )

    def _open_display(self) -> None:
        """Start an X server on a free number; the graphics card is Mesa's, in software."""
        reading, writing = os.pipe()
        with (self.folder / "slicer.log").open("ab") as log:
            server = ["Xvfb", "-displayfd", str(writing), "-screen", "0", _SCREEN, "-nolisten", "tcp"]
            self._processes.append(
                subprocess.Popen(server, pass_fds=[writing], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
            )
        os.close(writing)
        with os.fdopen(reading) as pipe:
            number = pipe.readline().strip()
        assert number, "Xvfb did not start"
        home = self.folder / "home"
        home.mkdir()
        self._environ |= {
            "DISPLAY": f":{number}",
            "HOME": str(home),
            "GDK_BACKEND": "x11",
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "NO_AT_BRIDGE": "1",
            "LANG": _LOCALE,
            "LC_ALL": _LOCALE,
            "LOCPATH": str(self._locale()),
        }

    def _locale(self) -> Path:
        """PrusaSlicer asks a question where it finds no English: make it, wherever this machine has none."""
        made = self.folder / "locale" / locale.normalize(_LOCALE)
        made.parent.mkdir()
        subprocess.run(
            ["localedef", "-i", "en_US", "-f", "UTF-8", str(made)],
            check=True,
            timeout=CLICK_S,
            capture_output=True,
        )
        return made.parent

    def _write_presets(self, url: str, key: str) -> Path:
        data = self.folder / "prusaslicer"
        files = {
            "PrusaSlicer.ini": _SETTINGS,
            "printer/Bench.ini": _PRINTER,
            "print/Bench 0.3.ini": _PRINT,
            "filament/Bench PLA.ini": _FILAMENT,
            "physical_printer/Bench unit.ini": _HOST.format(url=url, key=key),
        }
        for name, text in files.items():
            (data / name).parent.mkdir(parents=True, exist_ok=True)
            (data / name).write_text(text)
        return data
