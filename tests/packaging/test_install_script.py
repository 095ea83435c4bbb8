"""`install.sh` on machines of all kinds, up to the call of apt: the real script, the real curl, a server on loopback.

The machine it sees is a folder of small programs at the front of PATH, which say what id, dpkg and apt say elsewhere.
The real apt installs with it in tests/system.
"""

from __future__ import annotations

import hashlib
import http.server
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = "fabunit_0.1.0-1+py311_amd64.deb"
pytestmark = [
    pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is missing: not a Debian machine"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is missing"),
]


class Machine:
    """What the script takes for its machine. `bytes_installed` is what reached apt, None when nothing did."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.temporary = folder / "tmp"
        self._reached = folder / "installed.deb"
        for made in (self.bin, self.temporary):
            made.mkdir()
        self.set()
        self.program("apt-get", f'for last; do :; done; cp "$last" "{self._reached}"')
        self.program("fabunit", "echo fabunit 0.1.0")

    def set(self, *, python: str = "3.11.2-1+b1", arch: str = "amd64", user: int = 0) -> None:
        """Change what the machine says of itself."""
        self.program(
            "apt-cache", f"echo 'Package: python3'; echo 'Version: {python}'" if python else "exit 100"
        )
        self.program("dpkg", f"echo {arch}")
        self.program("id", f"echo {user}")

    def program(self, name: str, script: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def install(self, source: str | Path = "") -> tuple[int, str]:
        """Run the script; returns its exit code and everything it said."""
        done = subprocess.run(
            ["sh", str(ROOT / "install.sh"), *([str(source)] if source else [])],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": f"{self.bin}:{os.environ['PATH']}", "TMPDIR": str(self.temporary), "no_proxy": "*"},
        )
        assert list(self.temporary.iterdir()) == [], "the script leaves nothing behind"
        return done.returncode, done.stdout + done.stderr

    def refusal(self, source: str | Path = "") -> str:
        """Run the script, which must fail with one sentence and install nothing; returns that."""
        code, said = self.install(source)
        assert (code, self.bytes_installed) == (1, None), said
        last = said.strip().splitlines()[-1]
        assert last.startswith("install.sh: ")
        return last.removeprefix("install.sh: ")

    @property
    def bytes_installed(self) -> bytes | None:
        return self._reached.read_bytes() if self._reached.exists() else None


class Server:
    """Serves the files of a folder. `cut`: paths of which only the first half arrives, though all was announced."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cut: set[str] = set()
        self.redirections: dict[str, str] = {}
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                name = self.path.lstrip("/")
                if name in owner.redirections:
                    self.send_response(302)
                    self.send_header("Location", owner.redirections[name])
                    self.end_headers()
                    return
                path = owner.folder / name
                if not path.is_file():
                    self.send_error(404)
                    return
                data = path.read_bytes()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: len(data) // 2] if name in owner.cut else data)

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class names it so
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """A folder as `make deb` leaves it, with packages for several machines."""
    folder = tmp_path / "dist"
    folder.mkdir()
    for name in (
        NAME,
        NAME.replace("amd64", "arm64"),
        NAME.replace("py311", "py313"),
        "fabunit_0.1.0-1+py313thin_all.deb",
    ):
        make_package(folder, name)
    write_sums(folder)
    return folder


@pytest.fixture
def server(shelf: Path) -> Iterator[Server]:
    made = Server(shelf)
    yield made
    made.close()


def make_package(folder: Path, name: str) -> bytes:
    """Build a real, small package."""
    tree = folder / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    version, arch = name.removesuffix(".deb").split("_")[1:]
    (tree / "DEBIAN/control").write_text(
        f"Package: fabunit\nVersion: {version}\nArchitecture: {arch}\n"
        f"Maintainer: x <x@localhost>\nDescription: {name}\n"
    )
    (tree / "payload").write_bytes(os.urandom(4000))
    subprocess.run(
        ["dpkg-deb", "-Znone", "--build", str(tree), str(folder / name)], check=True, capture_output=True
    )
    shutil.rmtree(tree)
    return (folder / name).read_bytes()


def write_sums(folder: Path) -> None:
    found = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(folder.glob("*.deb"))
    ]
    (folder / "SHA256SUMS").write_text("".join(found))


@pytest.mark.parametrize("source", ["file", "folder", "url"])
def test_every_form_hands_the_right_package_to_apt(
    machine: Machine, shelf: Path, server: Server, source: str
) -> None:
    where: dict[str, str | Path] = {"file": shelf / NAME, "folder": shelf, "url": server.url + "/"}
    code, said = machine.install(where[source])
    assert code == 0, said
    assert machine.bytes_installed == (shelf / NAME).read_bytes()
    assert said.splitlines()[-2:] == [
        "install.sh: done: fabunit 0.1.0. Next: sudo fabunit setup",
        "install.sh: try it without a printer: fabunit demo",
    ]


def test_the_newest_version_is_taken(machine: Machine, shelf: Path, server: Server) -> None:
    made = make_package(shelf, NAME.replace("0.1.0-1", "0.1.0-10"))
    make_package(shelf, NAME.replace("0.1.0-1", "0.1.0-9"))
    write_sums(shelf)
    for source in (shelf, server.url):
        assert machine.install(source)[0] == 0
        assert machine.bytes_installed == made


def test_the_package_fits_python_and_processor(machine: Machine, shelf: Path, server: Server) -> None:
    for python, arch, name in (
        ("3.13.5-1", "amd64", NAME.replace("py311", "py313")),
        ("3.11.2-1+b1", "arm64", NAME.replace("amd64", "arm64")),
    ):
        machine.set(python=python, arch=arch)
        assert machine.install(server.url)[0] == 0
        assert machine.bytes_installed == (shelf / name).read_bytes()


def test_where_only_the_thin_package_fits_it_is_taken(machine: Machine, shelf: Path, server: Server) -> None:
    thin = shelf / "fabunit_0.1.0-1+py313thin_all.deb"
    machine.set(python="3.13.5-1", arch="armhf")
    for source in (shelf, server.url, thin):
        assert machine.install(source)[0] == 0
        assert machine.bytes_installed == thin.read_bytes()


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"user": 1000}, "run it as root: sudo sh install.sh"),
        (
            {"python": "3.10.6-1~22.04.1"},
            "this system has Python 3.10; 3.11 (Debian 12 Bookworm), 3.12 (Ubuntu 24.04)",
        ),
        ({"python": "3.14.0-1"}, "this system has Python 3.14;"),
        ({"python": ""}, "apt knows no python3: run 'apt-get update' first"),
        ({"arch": "armhf"}, "this is a 32-bit system (armhf)"),
        ({"arch": "riscv64"}, "there is no package for riscv64; amd64 and arm64 are supported"),
    ],
)
def test_a_system_that_is_not_supported_is_told_so(
    machine: Machine, shelf: Path, facts: dict[str, int | str], words: str
) -> None:
    machine.set(**facts)  # type: ignore[arg-type]
    assert words in machine.refusal(shelf)


def test_a_machine_without_apt_is_told_so(machine: Machine, shelf: Path) -> None:
    machine.program("uname", "echo Darwin")
    assert machine.refusal(shelf) == "this is for Debian, Raspberry Pi OS and Ubuntu; there is no apt here"


def test_a_package_that_is_not_the_one_of_the_list(machine: Machine, shelf: Path, server: Server) -> None:
    make_package(shelf, NAME)
    said = machine.refusal(server.url)
    assert said.startswith(f"{NAME} is not the one of SHA256SUMS")
    assert said.endswith("Nothing was installed")


def test_a_download_that_breaks_off(machine: Machine, server: Server) -> None:
    server.cut.add(NAME)
    assert (
        machine.refusal(server.url) == f"{server.url}/{NAME} cannot be fetched whole: nothing was installed"
    )
    server.cut = {"SHA256SUMS"}
    assert machine.refusal(server.url) == f"there is no SHA256SUMS at {server.url}: nothing was installed"


def test_a_package_or_list_that_is_not_there(machine: Machine, shelf: Path, server: Server) -> None:
    (shelf / NAME).unlink()
    code, said = machine.install(server.url)
    assert (code, machine.bytes_installed) == (1, None)
    assert "404" in said
    assert f"{NAME} cannot be fetched whole" in said
    (shelf / "SHA256SUMS").unlink()
    assert "there is no SHA256SUMS at" in machine.refusal(server.url)


def test_a_list_without_a_package_for_this_machine(machine: Machine, shelf: Path, server: Server) -> None:
    machine.set(python="3.12.3-0ubuntu2")
    assert machine.refusal(server.url) == f"there is no package for amd64 and Python 3.12 at {server.url}"
    said = machine.refusal(shelf)
    assert (
        said
        == f"there is no package for amd64 and Python 3.12 in {shelf}: make deb DEB='--python 3.12 --arch amd64'"
    )


def test_names_in_the_list_are_only_names(machine: Machine, shelf: Path, server: Server) -> None:
    (shelf / "SHA256SUMS").write_text(
        f"{'0' * 64}  fabunit_/../../x+py311_amd64.deb\n{'0' * 64}  fabunit_$(id)+py311_amd64.deb\n"
    )
    said = machine.refusal(server.url)
    assert "cannot be fetched whole" in said
    assert "fabunit_$(id)+py311_amd64.deb" in said


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://example.org/packages", "only https:// is fetched from"),
        ("http://127.0.0.1.example.org/x", "only https:// is fetched from"),
        ("http://localhost:80@example.org/x", "an address with a name or password in it is not fetched from"),
        ("ftp://localhost/x", "only https:// is fetched from"),
        (
            f"https://localhost/x/{NAME}",
            "give the address of the folder, https://localhost/x, where SHA256SUMS is, too",
        ),
    ],
)
def test_addresses_that_are_not_fetched_from(machine: Machine, url: str, words: str) -> None:
    assert machine.refusal(url) == words


def test_a_redirection_to_another_kind_of_address_is_not_followed(
    machine: Machine, shelf: Path, server: Server
) -> None:
    server.redirections["SHA256SUMS"] = f"file://{shelf}/SHA256SUMS"
    assert "there is no SHA256SUMS at" in machine.refusal(server.url)


def test_files_that_are_no_package_for_this_machine(machine: Machine, shelf: Path) -> None:
    assert machine.refusal(shelf / "nonsuch.deb") == f"{shelf}/nonsuch.deb does not exist"
    assert machine.refusal(shelf / "nonsuch") == f"there is no folder {shelf}/nonsuch"
    other = NAME.replace("py311", "py313")
    assert machine.refusal(shelf / other) == (
        f"{other} is for another system: this one has Python 3.11 on amd64 (make deb DEB='--python 3.11 --arch amd64')"
    )
    half = (shelf / NAME).read_bytes()[:3000]
    (shelf / NAME).write_bytes(half)
    assert machine.refusal(shelf / NAME) == (
        f"{shelf / NAME} is damaged: it is no Debian package, or only a part of one"
    )
    (shelf / "other.deb").write_bytes(b"x")
    assert machine.refusal(shelf / "other.deb") == f"{shelf}/other.deb is no package of fabunit"
    assert (
        machine.refusal()
        == "which package? a .deb file, a folder of them, or a URL: see the top of this file"
    )


def test_what_apt_refuses_is_a_failure(machine: Machine, shelf: Path) -> None:
    machine.program("apt-get", "echo 'E: Unmet dependencies' >&2; exit 100")
    code, said = machine.install(shelf)
    assert code == 1
    assert "E: Unmet dependencies" in said
    assert "apt could not install it" in said
    assert "done" not in said


def test_a_script_that_was_cut_short_does_nothing(machine: Machine, shelf: Path, tmp_path: Path) -> None:
    text = (ROOT / "install.sh").read_text()
    for share in range(1, 10):
        part = tmp_path / "part.sh"
        part.write_text(text[: len(text) * share // 10])
        subprocess.run(
            ["sh", str(part), str(shelf)],
            capture_output=True,
            check=False,
            env={"PATH": f"{machine.bin}:{os.environ['PATH']}", "TMPDIR": str(machine.temporary)},
        )
        assert machine.bytes_installed is None
