"""The Debian package: what is in it, and what installing, upgrading, going back and purging leave behind.

It is really installed, by dpkg into a folder (`dpkg --root`), with the package's own scripts; nothing of this machine
changes. What needs a running systemd is in tests/system.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from installer.build_deb import Plan, build, requirements, version
from installer.control import _THIN_DEPENDS, Target

pytestmark = [
    pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is missing: not a Debian machine"),
    pytest.mark.skipif(shutil.which("systemd-sysusers") is None, reason="systemd-sysusers is missing"),
    pytest.mark.skipif(os.geteuid() != 0, reason="dpkg --root needs root to own what it unpacks"),
]
THIN = Target(version(), "1", "3.13", "all", is_thin=True)
# Written by systemd-sysusers and userdel, as by every package with a user.
_LOCKS = {"etc/.pwd.lock", "etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-"}


def make(folder: Path, target: Target = THIN) -> Path:
    """Build the thin package: it downloads nothing."""
    return build(Plan(target, folder / "dist", folder / "work", "none"))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("deb"))


class System:
    """A folder that dpkg takes for a machine."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for folder in ("var/lib/dpkg/info", "var/lib/dpkg/updates", "etc", "opt", "usr/lib/sysusers.d"):
            (root / folder).mkdir(parents=True)
        for name in ("var/lib/dpkg/status", "var/lib/dpkg/available", "etc/shadow", "etc/gshadow"):
            (root / name).touch()
        (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
        (root / "etc/group").write_text("root:x:0:\ndialout:x:20:\n")
        self.before = self.files()

    def dpkg(self, *arguments: str) -> str:
        command = ["dpkg", f"--root={self.root}", "--force-script-chrootless", "--force-depends"]
        command += ["--force-confold", f"--log={self.root}/var/lib/dpkg/log", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def files(self) -> set[str]:
        """Every file and link outside dpkg's own records."""
        found = {str(path.relative_to(self.root)) for path in self.root.rglob("*") if not path.is_dir()}
        return {name for name in found if not name.startswith("var/lib/dpkg/")} - _LOCKS

    def link(self, name: str) -> str:
        return str((self.root / "opt/fabunit" / name).readlink())


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path / "system")


def test_the_version_folder_is_current_and_costs_no_second_copy(package: Path, system: System) -> None:
    system.dpkg("-i", str(package))
    home = system.root / "opt/fabunit"
    assert system.link("current") == THIN.full_version
    assert str((system.root / "usr/bin/fabunit").readlink()) == "/opt/fabunit/current/bin/fabunit"
    script = home / "current/bin/fabunit"
    assert script.read_text().startswith(
        f"#!/opt/fabunit/{THIN.full_version}/bin/python -IXno_debug_ranges\n"
    )
    assert script.stat().st_nlink == 2
    assert script.stat().st_mode & 0o777 == 0o755
    modules = home / "current/lib/python3.13/site-packages/agent"
    assert (modules / "app.py").is_file()
    assert (modules / "_data/slicer_profiles/printers/generic-220.toml").is_file()


def test_user_group_and_folders(package: Path, system: System) -> None:
    system.dpkg("-i", str(package))
    passwd = (system.root / "etc/passwd").read_text()
    assert "fabunit" in passwd
    assert "/usr/sbin/nologin" in passwd
    groups = dict(line.split(":x:") for line in (system.root / "etc/group").read_text().splitlines())
    assert groups["dialout"].endswith(":fabunit")
    assert "fabunit" in groups
    assert (system.root / "etc/credstore").stat().st_mode & 0o777 == 0o700
    assert (system.root / "etc/fabunit/unit.toml.example").is_file()


def test_purge_leaves_no_file_and_no_user(package: Path, system: System) -> None:
    system.dpkg("-i", str(package))
    leave_traces(system)
    said = system.dpkg("--purge", "fabunit")
    assert system.files() == system.before
    assert not (system.root / "var/lib/fabunit").exists()
    assert not (system.root / "etc/fabunit").exists()
    assert "fabunit" not in (system.root / "etc/passwd").read_text()
    assert "fabunit" not in (system.root / "etc/group").read_text()
    assert "stays" not in said


def leave_traces(system: System) -> None:
    """What a unit in use has left on the disk."""
    for name in ("etc/fabunit/mk3s.toml", "etc/fabunit/profiles/printers/own.toml", "etc/fabunit/mk3s.ca.pem",
                 "etc/credstore/fabunit.mk3s.mqtt-password", "var/lib/fabunit/mk3s/fabunit.db",
                 "etc/systemd/system/fabunit@mk3s.service.d/port.conf"):  # fmt: skip
        (system.root / name).parent.mkdir(parents=True, exist_ok=True)
        (system.root / name).write_text("x")
    wants = system.root / "etc/systemd/system/multi-user.target.wants/fabunit@mk3s.service"
    wants.parent.mkdir(parents=True, exist_ok=True)
    wants.symlink_to("/usr/lib/systemd/system/fabunit@.service")


def test_removing_keeps_configuration_and_state(package: Path, system: System) -> None:
    system.dpkg("-i", str(package))
    leave_traces(system)
    system.dpkg("--remove", "fabunit")
    left = system.files() - system.before
    assert not any(name.startswith(("opt/", "usr/")) for name in left), left
    assert {"etc/fabunit/mk3s.toml", "var/lib/fabunit/mk3s/fabunit.db", "etc/default/fabunit"} <= left


def test_state_stays_when_asked_to(package: Path, system: System) -> None:
    system.dpkg("-i", str(package))
    leave_traces(system)
    (system.root / "var/lib/fabunit/KEEP").touch()
    said = system.dpkg("--purge", "fabunit")
    assert "/var/lib/fabunit stays" in said
    assert system.files() - system.before == {"var/lib/fabunit/KEEP", "var/lib/fabunit/mk3s/fabunit.db"}
    assert "fabunit:x:" in (system.root / "etc/passwd").read_text()


def test_an_upgrade_keeps_the_version_before_and_the_makers_changes(
    package: Path, system: System, tmp_path: Path
) -> None:
    second, third = replace(THIN, revision="2"), replace(THIN, revision="3")
    system.dpkg("-i", str(package))
    changed = system.root / "etc/default/fabunit"
    changed.write_text("FABUNIT__LOG__LEVEL=debug\n")
    system.dpkg("-i", str(make(tmp_path, second)))
    home = system.root / "opt/fabunit"
    assert (system.link("current"), system.link("previous")) == (second.full_version, THIN.full_version)
    old = home / THIN.full_version
    assert (old / "lib/python3.13/site-packages/agent/app.py").is_file()
    assert (old / "bin/fabunit").read_text().startswith(f"#!/opt/fabunit/{THIN.full_version}/")
    assert changed.read_text() == "FABUNIT__LOG__LEVEL=debug\n"
    system.dpkg("-i", str(make(tmp_path, third)))
    kept = {path.name for path in home.iterdir()}
    assert kept == {third.full_version, second.full_version, "current", "previous"}


def test_installing_the_same_version_again_mends_it(package: Path, system: System) -> None:
    system.dpkg("-i", str(package))
    module = system.root / "opt/fabunit/current/lib/python3.13/site-packages/agent/app.py"
    module.unlink()
    system.dpkg("-i", str(package))
    assert module.is_file()
    assert not (system.root / "opt/fabunit/previous").is_symlink()
    assert [path.name for path in (system.root / "opt/fabunit").glob(".*")] == []


def test_the_thin_package_asks_for_the_floors_of_the_project() -> None:
    floors = {}
    for line in requirements():
        name, _, floor = line.partition(">=")
        floors[name.lower()] = floor
    debian = {"pil": "pillow", "nacl": "pynacl", "serial": "pyserial"}
    wanted = {}
    for line in _THIN_DEPENDS:
        name, _, floor = line.removeprefix("python3-").rstrip(")").partition(" (>= ")
        wanted[debian.get(name, name)] = floor.rpartition(":")[2]
    assert wanted == floors


def test_scripts_are_sound_shell() -> None:
    folder = Path(__file__).resolve().parents[2] / "installer"
    scripts = [
        *sorted((folder / "debian").iterdir()),
        folder / "files/fabunit-rollback",
        folder.parent / "install.sh",
    ]
    for script in scripts:
        checked = subprocess.run(["sh", "-n", str(script)], capture_output=True, text=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, ""), script


@pytest.mark.skipif(shutil.which("man") is None, reason="man is not installed here")
def test_the_manual_reads_without_a_complaint(package: Path, system: System) -> None:
    system.dpkg("-i", str(package))
    page = system.root / "usr/share/man/man1/fabunit.1.gz"
    shown = subprocess.run(
        ["man", "--warnings", "-E", "UTF-8", "-l", str(page)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MANWIDTH": "100", "LC_ALL": "C.UTF-8"},
    )
    assert shown.stderr == ""
    assert "fabunit - print host for 3D printers" in shown.stdout
    assert "fabunit status" in shown.stdout
    assert "--watch" in shown.stdout


@pytest.mark.skipif(shutil.which("udevadm") is None, reason="udevadm is not installed here")
def test_the_rules_name_only_what_udev_knows(package: Path, system: System) -> None:
    system.dpkg("-i", str(package))
    helped = subprocess.run(["udevadm", "--help"], capture_output=True, text=True, check=True)
    if "verify" not in helped.stdout:
        pytest.skip("this udevadm has no verify (systemd 254 and newer)")
    for rules in sorted((system.root / "usr/lib/udev/rules.d").iterdir()):
        checked = subprocess.run(
            ["udevadm", "verify", str(rules)], capture_output=True, text=True, check=False
        )
        assert checked.returncode == 0, checked.stdout + checked.stderr
