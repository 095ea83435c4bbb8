from __future__ import annotations

from pathlib import Path

import pytest

from agent import paths
from agent.domain.errors import ConfigError, NotFoundError
from agent.domain.profile import PrinterProfile
from agent.slicing.profiles import list_profiles, load_profile, read_profile
from agent.slicing.script_text import PLACEHOLDERS

BUNDLED = paths.data_dir() / "slicer_profiles"
NAMES = ["corexy-300", "ender-3", "generic-220", "mini-120", "prusa-mk3s"]
GENERIC = (BUNDLED / "printers" / "generic-220.toml").read_text(encoding="utf-8")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "printers").mkdir()
    return tmp_path


def put(root: Path, text: str, name: str = "mine") -> Path:
    path = root / "printers" / f"{name}.toml"
    path.write_text(text, encoding="utf-8")
    return path


def complaint(root: Path, old: str, new: str) -> str:
    assert old in GENERIC
    with pytest.raises(ConfigError) as caught:
        read_profile(put(root, GENERIC.replace(old, new)))
    return f"{caught.value.message} | {caught.value.remedy}"


@pytest.mark.parametrize("name", NAMES)
def test_bundled_profiles_are_valid_and_sane(name: str) -> None:
    profile = load_profile(name, [BUNDLED])
    assert isinstance(profile, PrinterProfile)
    assert profile.name == name
    assert len(profile.digest) == 64
    assert 200 <= profile.hotend.max_c <= 300
    assert profile.bed is None or 80 <= profile.bed.max_c <= 120
    assert set(profile.max_speed_mm_s) == set(profile.max_acceleration_mm_s2) == set("xyze")
    assert bool(profile.jerk_mm_s) != (profile.junction_deviation_mm is not None)
    reach = profile.reach_mm or tuple((0.0, size) for size in profile.volume_mm)
    assert all(low <= at <= high for (low, high), at in zip(reach, profile.park_mm, strict=False))
    assert all(low <= 0 and size <= high for (low, high), size in zip(reach, profile.volume_mm, strict=True))


def test_the_bundle_is_complete() -> None:
    assert [entry.name for entry in list_profiles([BUNDLED])] == NAMES
    assert len({load_profile(name, [BUNDLED]).digest for name in NAMES}) == len(NAMES)


def test_a_makers_own_profile_hides_the_bundled_one(root: Path) -> None:
    put(root, GENERIC.replace("max_c = 260", "max_c = 280"), "generic-220")
    assert load_profile("generic-220", [root, BUNDLED]).hotend.max_c == 280
    assert load_profile("generic-220", [BUNDLED]).hotend.max_c == 260
    assert [entry.name for entry in list_profiles([root, BUNDLED])] == NAMES


def test_the_digest_is_that_of_the_content(root: Path) -> None:
    same = read_profile(put(root, "# other comment\n" + GENERIC.replace("extruders = 1\n", "")))
    assert same.digest == load_profile("generic-220", [BUNDLED]).digest
    assert read_profile(put(root, GENERIC.replace("= 110", "= 105"))).digest != same.digest


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [("nozzle_mm", "nozle_mm", ["line 6", "geometry.nozle_mm", "'nozzle_mm'"]),
     ("[heaters.bed]", "[heaters.beds]", ["heaters.beds", "'bed'"]),
     ("title =", "titel =", ["line 2", "'title'"]),
     ("max_c = 260", "max_c = 9000", ["line 10", "heaters.hotend.max_c = 9000", "up to 600"]),
     ("max_c = 260", "max_c = nan", ["line 10", "max_c"]),
     ("max_c = 260", "max_c = -5", ["line 10"]),
     ("max_c = 260", "max_c = '260'", ["line 10", "number"]),
     ("max_c = 260", "min_rise_c = 2", ["heaters.hotend.max_c is missing"]),
     ("[220, 220, 250]", "[220, 220]", ["line 5", "three numbers"]),
     ("[220, 220, 250]", "[220, 0, 250]", ["geometry.volume_mm[1]", "line 5"]),
     ("extruders = 1", "reach_x_mm = [0, 100]", ["reach_x_mm must contain the whole volume"]),
     ("{ x = 300, ", "{ ", ["motion.max_speed_mm_s.x is missing"]),
     ("[115200, 250000]", "[\n115200,\n5]", ["line 29", "connection.bauds[1]"]),
     ('"auto"', '"grbl"', ["line 28", "klipper"]),
     ("[park]", "junction_deviation_mm = 0.02\n[park]", ["not both"]),
     ("idle_timeout_s = 600", "ejects = true", ["scripts.eject"]),
     ("idle_timeout_s = 600", "allow_commands = ['M112']", ["M112 cannot be allowed"]),
     ("idle_timeout_s = 600", "allow_commands = ['M104 S500']", ["no command word"]),
     ("idle_timeout_s = 600", "idle_timeout_s = 1", ["30 to 86400"]),
     ("[safety]", "[scripts]\npause = ['G1 X{nowhere}']\n[safety]", ["{nowhere}", "park_x"]),
     ("[safety]", "[scripts]\npause = ['G1 X{park_x']\n[safety]", ["unfinished"]),
     ("[safety]", '[scripts]\npause = ["G28\\nM112"]\n[safety]', ["not one command"]),
     ("[safety]", "[scripts]\npause = ['']\n[safety]", ["not one command"]),
     ("[safety]", "[scripts]\npauze = ['G27']\n[safety]", ["'pause'"])],
)  # fmt: skip
def test_mistakes_are_named_with_their_line(old: str, new: str, said: list[str], root: Path) -> None:
    message = complaint(root, old, new)
    assert "mine.toml" in message
    for part in said:
        assert part in message


def test_everything_optional_is_taken_over(root: Path) -> None:
    text = GENERIC.replace("extruders = 1", "extruders = 2\nreach_y_mm = [-5, 230]").replace(
        "idle_timeout_s = 600",
        "ejects = true\nallow_commands = ['M280', 'START_PRINT']\n[heaters.chamber]\nmax_c = 70\n"
        "[scripts]\npause = ['G1 X{park_x} Y{park_y} F6000']\neject = ['G1 Y200']\n",
    )
    profile = read_profile(put(root, text))
    assert profile.extruders == 2
    assert profile.reach_mm == ((0.0, 220.0), (-5.0, 230.0), (0.0, 250.0))
    assert profile.chamber is not None
    assert profile.chamber.max_c == 70
    assert profile.allow_commands == ("M280", "START_PRINT")
    assert profile.scripts.eject == ("G1 Y200",)
    assert profile.scripts.pause[0].format_map(dict.fromkeys(PLACEHOLDERS, 1)) == "G1 X1 Y1 F6000"


@pytest.mark.parametrize(
    "name", ["../printers/generic-220", "nothing", "", "Generic-220", "a" * 65, "generic-22", "x/y", "."]
)
def test_unknown_names_tell_the_known_ones(name: str, root: Path) -> None:
    with pytest.raises(NotFoundError) as caught:
        load_profile(name, [root, BUNDLED])
    assert caught.value.exit_code == 5
    assert "prusa-mk3s" in caught.value.remedy


def test_a_near_name_is_suggested() -> None:
    with pytest.raises(NotFoundError, match="prusa-mk3s"):
        load_profile("prusa-mk3", [BUNDLED])


def test_a_broken_profile_is_listed_with_its_error(root: Path) -> None:
    put(root, "title = 5\n", "broken")
    put(root, "", "NotAName")
    (entry,) = list_profiles([root, root / "absent"])
    assert entry.name == "broken"
    assert "broken.toml" in entry.error
