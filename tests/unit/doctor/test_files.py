"""Files the daemon depends on: secrets, what it obeys, and the file system its state is on."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from agent.ops.doctor import filesystem, secrets, trust
from agent.ops.doctor.accounts import daemon_uid, user_name
from agent.ops.doctor.finding import Finding, Level

ME = user_name(os.geteuid())
SECRET = secrets.SecretFacts("/etc/fabunit/a.key", "fabunit", 0o600, "fabunit")
CREDENTIAL = secrets.SecretFacts("/etc/credstore/fabunit.a.x", "fabunit", 0o600, "root", is_credential=True)


def bad(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.level is not Level.OK]


@pytest.mark.parametrize(
    ("facts", "level", "remedy"),
    [
        (SECRET, Level.OK, ""),
        (CREDENTIAL, Level.OK, ""),
        (
            replace(SECRET, mode=None),
            Level.ERROR,
            "sudo install -m 600 -o fabunit /dev/stdin /etc/fabunit/a.key",
        ),
        (replace(CREDENTIAL, mode=None), Level.ERROR, "sudo install -m 600 /dev/stdin /etc/credstore/"),
        (replace(SECRET, mode=0o644), Level.WARNING, "sudo chmod 600 /etc/fabunit/a.key"),
        (replace(SECRET, owner="root"), Level.ERROR, "sudo chown fabunit: /etc/fabunit/a.key"),
        (replace(SECRET, owner="pi", user="root"), Level.OK, ""),
        (replace(SECRET, mode=None, is_hidden=True), Level.NOTE, "sudo fabunit doctor"),
    ],
)
def test_secrets(facts: secrets.SecretFacts, level: Level, remedy: str) -> None:
    found = secrets.judge([facts])[0]
    assert (found.check, found.level) == ("secrets", level)
    assert remedy in found.remedy
    assert bool(found.remedy) is (level is not Level.OK)


@pytest.mark.parametrize(
    ("named", "kept"),
    [
        ("/etc/fabunit/a.key", "/etc/fabunit/a.key"),
        ("/run/credentials/fabunit@mk3s.service/mqtt-password", "/etc/credstore/fabunit.mk3s.mqtt-password"),
        ("/run/credentials/other.service/key", "/run/credentials/other.service/key"),
        ("/run/credentials/fabunit@a.service/deeper/key", "/run/credentials/fabunit@a.service/deeper/key"),
    ],
)
def test_a_credential_is_looked_for_where_it_is_kept(named: str, kept: str) -> None:
    assert str(secrets.at_rest(Path(named))) == kept


def test_secrets_of_this_machine(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("x")
    key.chmod(0o640)
    facts = secrets.look([key, tmp_path / "none"], ME)
    assert [(fact.mode, fact.owner) for fact in facts] == [(0o640, ME), (None, "")]
    assert [finding.level for finding in secrets.judge(facts)] == [Level.WARNING, Level.ERROR]


def test_the_daemons_user_owns_its_state(tmp_path: Path) -> None:
    assert daemon_uid(tmp_path) == os.geteuid()
    assert user_name(987_654_321) == "987654321"


@pytest.mark.parametrize(
    ("mode", "is_bad"), [(0o644, False), (0o646, True), (0o600, False), (0o640, False), (0o666, True)]
)
def test_a_configuration_others_may_change(tmp_path: Path, mode: int, is_bad: bool) -> None:
    config = tmp_path / "a.toml"
    config.write_text("")
    config.chmod(mode)
    tmp_path.chmod(0o755)
    found = bad(trust.judge(trust.look([config, tmp_path, None, tmp_path / "none"])))
    assert bool(found) is is_bad
    if is_bad:
        assert found[0].remedy == f"sudo chmod go-w {config}"
        assert f"mode {mode:03o}" in found[0].message


def test_a_folder_others_may_replace_files_in(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    assert [finding.remedy for finding in bad(trust.judge(trust.look([tmp_path])))] == [
        f"sudo chmod go-w {tmp_path}"
    ]
    tmp_path.chmod(0o1777)
    assert not bad(trust.judge(trust.look([tmp_path])))
    assert trust.judge(trust.look([None])) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to a group it is not in")
@pytest.mark.parametrize(("gid", "is_bad"), [(0, False), (54_321, True)])
def test_a_group_that_is_not_the_owners_own(tmp_path: Path, gid: int, is_bad: bool) -> None:
    config = tmp_path / "a.toml"
    config.write_text("")
    config.chmod(0o664)
    os.chown(config, 0, gid)
    assert bool(bad(trust.judge(trust.look([config])))) is is_bad


CARD = filesystem.FilesystemFacts("/var/lib/fabunit/a", "/", "ext4", "/dev/mmcblk0p2", free_inodes=100_000)


def test_a_sound_file_system() -> None:
    assert not bad(filesystem.judge(CARD))
    assert not bad(filesystem.judge(replace(CARD, kind="btrfs", free_inodes=None)))
    assert filesystem.judge(filesystem.FilesystemFacts("/s")) == []


@pytest.mark.parametrize(
    ("facts", "level", "message", "remedy"),
    [
        (replace(CARD, is_read_only=True), Level.ERROR, "read-only", "sudo mount -o remount,rw /"),
        (replace(CARD, errors=3), Level.WARNING, "3 errors", "sudo tune2fs -c 1 /dev/mmcblk0p2"),
        (replace(CARD, free_inodes=10), Level.ERROR, "10 more files", "sudo du --inodes"),
        (replace(CARD, kind="overlay"), Level.WARNING, "lost when the power goes", "disable_overlayfs"),
        (replace(CARD, kind="tmpfs"), Level.WARNING, "lost when the power goes", "state_dir"),
        (replace(CARD, kind="vfat"), Level.WARNING, "damaged by a power cut", "state_dir"),
    ],
)
def test_the_file_system(facts: filesystem.FilesystemFacts, level: Level, message: str, remedy: str) -> None:
    (found,) = bad(filesystem.judge(facts))
    assert (found.check, found.level) == ("file-system", level)
    assert message in found.message
    assert remedy in found.remedy


def mounts(root: Path, *lines: str) -> Path:
    (root / "proc" / "self").mkdir(parents=True)
    (root / "proc" / "self" / "mountinfo").write_text("\n".join(lines) + "\n")
    return root


def test_a_card_that_was_remounted_read_only_and_counts_errors(tmp_path: Path) -> None:
    state = tmp_path / "state dir"
    state.mkdir()
    escaped = str(state).replace(" ", "\\040")
    root = mounts(
        tmp_path / "root",
        "22 1 179:2 / / rw,noatime shared:1 - ext4 /dev/mmcblk0p2 rw",
        "a line that is none",
        f"23 22 179:3 / {escaped} rw,noatime shared:2 - ext4 /dev/mmcblk0p3 ro,errors=remount-ro",
        f"24 22 0:40 / {escaped}-beside rw - tmpfs tmpfs rw",
    )
    (root / "sys" / "devices" / "mmcblk0p3").mkdir(parents=True)
    (root / "sys" / "dev" / "block").mkdir(parents=True)
    (root / "sys" / "dev" / "block" / "179:3").symlink_to(root / "sys" / "devices" / "mmcblk0p3")
    counted = root / "sys" / "fs" / "ext4" / "mmcblk0p3"
    counted.mkdir(parents=True)
    (counted / "errors_count").write_text("7\n")
    facts = filesystem.look(state, root)
    assert (facts.mount_point, facts.kind, facts.source) == (str(state), "ext4", "/dev/mmcblk0p3")
    assert facts.is_read_only
    assert facts.errors == 7
    assert len(bad(filesystem.judge(facts))) == 2


def test_of_two_mounts_in_one_place_the_upper_counts(tmp_path: Path) -> None:
    root = mounts(
        tmp_path / "root",
        "22 1 179:2 / / rw - ext4 /dev/mmcblk0p2 rw",
        "23 22 0:30 / / rw - overlay overlayroot rw,lowerdir=/lower",
    )
    assert filesystem.look(tmp_path, root).kind == "overlay"


def test_a_machine_without_proc(tmp_path: Path) -> None:
    assert filesystem.look(tmp_path, tmp_path).kind == ""


def test_this_machine(tmp_path: Path) -> None:
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    if "/" not in points:
        pytest.skip("the root of this tree is no mount point (chroot)")
    here = filesystem.look(tmp_path, Path("/"))
    assert here.kind
    assert str(tmp_path).startswith(here.mount_point)
