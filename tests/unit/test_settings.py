from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from agent import paths
from agent.domain.errors import ConfigError
from agent.settings import Settings, default_unit_id, load_settings
from agent.toml_document import TomlDocument

DOCS = Path(__file__).resolve().parents[2] / "docs" / "configuration.md"


def load(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> Settings:
    path = tmp_path / "fabunit.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path, environ or {})


def complaint(tmp_path: Path, text: str | bytes, environ: dict[str, str] | None = None) -> str:
    path = tmp_path / "fabunit.toml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path, environ or {})
    return f"{caught.value.message} | {caught.value.remedy}"


def test_defaults_need_no_file() -> None:
    settings = load_settings(None, {"HOME": "/home/maker", "STATE_DIRECTORY": "/srv/state"})
    assert settings.printer.port == "auto"
    assert settings.printer.baud == "auto"
    assert settings.printer.profile == "generic-220"
    assert settings.queue.auto_start
    assert settings.queue.bed_clear == "confirm"
    assert settings.limits.max_artefact_bytes == 512 << 20
    assert settings.limits.max_jobs == 1000
    assert settings.unit.state_dir == Path("/srv/state")
    assert settings.unit.title == settings.unit.id


def test_a_whole_file(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        """
        [unit]
        id = "unit-7f3a"
        name = "Workshop MK3S"
        state_dir = "/var/lib/fabunit/mk3s"
        [printer]
        port = "/dev/serial/by-id/usb-Prusa"
        baud = 115200
        profile = "prusa-mk3s"
        dialect = "prusa"
        [queue]
        auto_start = false
        bed_clear = "eject"
        [limits]
        max_artefact_bytes = 104857600
        max_jobs = 5
        min_free_bytes = 0
        [log]
        level = "debug"
        """,
    )
    assert settings.unit.title == "Workshop MK3S"
    assert settings.printer.baud == 115200
    assert not settings.queue.auto_start
    assert settings.limits.max_jobs == 5
    assert settings.log.level == "debug"


@pytest.mark.parametrize(
    ("text", "said"),
    [("[printer]\n\nbaudd = 5\n", ["line 3", "printer.baudd", "'baud'", "valid here: port, baud"]),
     ("[queue]\n# a = 1\nauto_strat = true\n", ["line 3", "queue.auto_strat", "'auto_start'"]),
     ("[prniter]\nport = 'auto'\n", ["line 1", "prniter", "'printer'"]),
     ("x = 1\n", ["line 1", "unknown key x", "valid here: unit"]),
     ("[coordinators]\nurl = 'mqtts://x'\n", ["line 1", "unknown key coordinators"]),
     ("printer = { port = 'auto',  bau = 1 }\n", ["line 1", "printer.bau", "'baud'"]),
     ("printer.baud = 'fast'\n", ["line 1", "printer.baud = 'fast'", "115200"]),
     ("[printer]\nbaud = 1\n", ["line 2", "no baud rate"]),
     ("[printer]\nbaud = true\n", ["line 2", "no baud rate"]),
     ("[printer]\nport = 'COM3'\n", ["line 2", "no port", "by-id"]),
     ("[printer]\nport = 'socket://host'\n", ["line 2", "no port"]),
     ("[printer]\nprofile = '../../etc/passwd'\n", ["line 2", "profile name"]),
     ("[printer]\ndialect = 'grbl'\n", ["line 2", "klipper"]),
     ("[queue]\nauto_start = 'yes'\n", ["line 2", "auto_start = 'yes'", "boolean"]),
     ('[queue]\nbed_clear = "never"\n', ["line 2", "'confirm' or 'eject'"]),
     ("[limits]\nmax_jobs = 0\n", ["line 2", "1 to 100000"]),
     ("[limits]\nmax_jobs = 1.5\n", ["line 2", "integer"]),
     ("[limits]\nmax_artefact_bytes = 1\n", ["line 2", "1 MiB"]),
     ("[unit]\nid = 'Upper'\n", ["line 2", "lower-case"]),
     ("[unit]\nid = 'ab'\n", ["line 2", "3 to 64"]),
     ("[unit]\nname = 5\n", ["line 2", "string"]),
     ('[unit]\nname = "a\\u0007b"\n', ["line 2", "control characters"]),
     ("[unit]\nstate_dir = 'relative/path'\n", ["line 2", "absolute"]),
     ("unit = 5\n", ["line 1", "unit"]),
     ("[log]\nlevel = 'loud'\n", ["line 2", "debug, info"]),
     ("[unit\n", ["line 1"]),
     ("[unit]\nid = 'abc'\nid = 'abd'\n", ["line 3"]),
     ("[unit]\nid = 'abc\n", ["line 2"]),
     ("a = " + "[" * 3000 + "]" * 3000, ["nested too deeply"]),
     (b"[unit]\nname = '\xff'\n", ["line 2", "UTF-8"]),
     (b"# " + b"x" * (1 << 20), ["larger than"])],
)  # fmt: skip
def test_every_complaint_says_where_and_what(text: str | bytes, said: list[str], tmp_path: Path) -> None:
    message = complaint(tmp_path, text)
    assert "fabunit.toml" in message
    for part in said:
        assert part in message


def test_several_mistakes_are_told_at_once(tmp_path: Path) -> None:
    message = complaint(tmp_path, "[printer]\nbaudd = 1\n[queue]\nauto_start = 3\n")
    assert "line 2" in message
    assert "line 4" in message


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(ConfigError, match=str(path)):
            load_settings(path, {})


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    environ = {
        "FABUNIT__PRINTER__BAUD": "250000", "FABUNIT__QUEUE__AUTO_START": "off", "FABUNIT__UNIT__ID": "unit-env",
        "FABUNIT__LIMITS__MAX_JOBS": "7", "FABUNIT__UNIT__STATE_DIR": "/tmp/state", "OTHER": "1",
    }  # fmt: skip
    settings = load(
        tmp_path, "[printer]\nbaud = 115200\nport = '/dev/ttyACM0'\n[unit]\nid = 'unit-file'\n", environ
    )
    assert settings.printer.baud == 250000
    assert settings.printer.port == "/dev/ttyACM0"
    assert settings.queue.auto_start is False
    assert (settings.unit.id, settings.unit.state_dir) == ("unit-env", Path("/tmp/state"))
    assert settings.limits.max_jobs == 7


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [("FABUNIT__PRINTER__BAUDD", "1", "FABUNIT__PRINTER__BAUD?"), ("FABUNIT__PRNITER__BAUD", "1", "no such setting"),
     ("FABUNIT__PRINTER", "x", "no such setting"), ("FABUNIT__", "x", "no such setting"),
     ("FABUNIT__PRINTER__BAUD__X", "1", "no such setting"), ("FABUNIT__PRINTER__BAUD", "fast", "115200"),
     ("FABUNIT__QUEUE__AUTO_START", "maybe", "boolean"), ("FABUNIT__LIMITS__MAX_JOBS", "-1", "1 to 100000"),
     ("FABUNIT__LIMITS__MAX_JOBS", "many", "integer"), ("FABUNIT__UNIT__STATE_DIR", "here", "absolute")],
)  # fmt: skip
def test_a_bad_variable_is_named(variable: str, value: str, said: str, tmp_path: Path) -> None:
    message = complaint(tmp_path, "[printer]\nbaud = 115200\n", {variable: value})
    assert f"environment variable {variable}" in message
    assert said in message


def test_the_unit_id_hides_the_machine_id(tmp_path: Path) -> None:
    machine_id = tmp_path / "machine-id"
    machine_id.write_text("0123456789abcdef0123456789abcdef\n")
    first = default_unit_id((tmp_path / "missing", machine_id))
    assert first == default_unit_id((machine_id,))
    assert first.startswith("unit-")
    assert not any(first.removeprefix("unit-")[i : i + 4] in machine_id.read_text() for i in range(4))
    machine_id.write_text("ff23456789abcdef0123456789abcdef\n")
    assert default_unit_id((machine_id,)) != first
    machine_id.write_text("uninitialized\n")
    with pytest.raises(ConfigError, match=r"unit\.id"):
        default_unit_id((machine_id,))


def test_settings_cannot_be_changed(tmp_path: Path) -> None:
    settings = load(tmp_path, "")
    with pytest.raises(ValueError, match="frozen"):
        settings.printer.port = "x"


def test_every_key_is_documented() -> None:
    text = DOCS.read_text(encoding="utf-8")
    for section, field in Settings.model_fields.items():
        assert f"[{section}]" in text
        model = field.annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        for key in model.model_fields:
            assert f"`{key}`" in text, f"{section}.{key} is not in docs/configuration.md"


def test_the_example_in_the_documentation_is_valid(tmp_path: Path) -> None:
    text = DOCS.read_text(encoding="utf-8")
    example = text.split("```toml\n", 1)[1].split("```", 1)[0]
    assert load(tmp_path, example).unit.id == "unit-7f3a"


TRICKY = '''# [printer]
"unit"."id" = 'x' # baud = 1
text = """
[printer]
baud = 3
"""
raw = \'\'\'a
b = 2\'\'\'
list = [
  1, # ]
  { deep = "}]", other = [2,
     3] },
]
[a . "b.c"]
d = 2026-01-01T00:00:00Z
[[things]]
n = 1
[[things]]
n = "\\"]"
[things.sub]
m = 3
'''


def test_lines_of_tricky_toml() -> None:
    lines = TomlDocument.parse(TRICKY.encode(), "tricky").lines
    assert lines["unit", "id"] == 2
    assert lines["text",] == 3
    assert lines["raw",] == 7
    assert lines["list",] == 9
    assert lines["list", 0] == 10
    assert lines["list", 1, "deep"] == 11
    assert lines["list", 1, "other", 1] == 12
    assert lines["a", "b.c"] == 14
    assert lines["a", "b.c", "d"] == 15
    assert lines["things", 0, "n"] == 17
    assert lines["things", 1, "n"] == 19
    assert lines["things", 1, "sub", "m"] == 21


def flat(prefix: tuple[str | int, ...], value: Any) -> set[tuple[str | int, ...]]:
    children = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    return {prefix} | {path for key, child in children for path in flat((*prefix, key), child)}


KEYS = st.text(alphabet="ab-_1", min_size=1, max_size=3)
VALUES = st.recursive(
    st.one_of(st.integers(0, 99), st.booleans(), st.text(alphabet="a #=[]{}\"'\\\n", max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=3)),
    max_leaves=8,
)


def written(value: Any, break_lines: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join(f'"{key}" = {written(child, "")}' for key, child in value.items()) + " }"
    if isinstance(value, list):
        return (
            "[" + break_lines + f",{break_lines}".join(written(child, break_lines) for child in value) + "]"
        )
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    return str(value)


@given(st.dictionaries(KEYS, VALUES, max_size=5), st.sampled_from(["", " ", "\n", " # ] }\n"]))
def test_every_key_of_any_document_has_its_line(data: dict[str, Any], break_lines: str) -> None:
    text = "".join(f"\n# {key}\n{key} = {written(value, break_lines)}\n" for key, value in data.items())
    document = TomlDocument.parse(text.encode(), "any")
    assert document.data == data
    assert set(document.lines) == flat((), data) - {()}
    source = text.split("\n")
    for key in data:
        assert source[document.lines[key,] - 1].startswith(f"{key} =")


@given(st.text(max_size=60))
def test_any_text_is_parsed_or_refused_by_name(text: str) -> None:
    try:
        document = TomlDocument.parse(text.encode("utf-8", "surrogatepass"), "any")
    except ConfigError as error:
        if not error.message.startswith("any"):
            raise AssertionError(error.message) from error
        return
    assert document.data == tomllib.loads(text.removeprefix("\ufeff").replace("\r\n", "\n"))
    assert set(document.lines) >= {(key,) for key in document.data}


def test_paths_import_without_pydantic() -> None:
    code = "import sys, agent.paths; print(any(m.startswith(('pydantic', 'asyncio')) for m in sys.modules))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert output.strip() == "False"


def test_sockets_and_directories(tmp_path: Path) -> None:
    assert paths.default_socket({"FABUNIT_SOCKET": "/x/y.sock", "RUNTIME_DIRECTORY": "/r"}) == Path(
        "/x/y.sock"
    )
    assert paths.default_socket({"RUNTIME_DIRECTORY": "/run/fabunit:/run/b"}) == Path(
        "/run/fabunit/fabunit.sock"
    )
    assert paths.default_socket({"RUNTIME_DIRECTORY": "relative", "HOME": "/h"}).is_absolute()
    assert paths.state_dir({"STATE_DIRECTORY": "/a:/b"}) == Path("/a")
    assert paths.profiles_dirs({"CONFIGURATION_DIRECTORY": "/c", "HOME": "/h"})[0] == Path("/c/profiles")
    assert paths.profiles_dirs({"HOME": "/h"})[-1] == paths.data_dir() / "slicer_profiles"
    assert paths.default_config({"FABUNIT_CONFIG": "/z.toml"}) == Path("/z.toml")
    (tmp_path / "fabunit.toml").touch()
    assert (
        paths.default_config({"CONFIGURATION_DIRECTORY": str(tmp_path), "HOME": "/h"})
        == tmp_path / "fabunit.toml"
    )
    assert paths.demo_part().is_file()


def test_directories_of_an_ordinary_user(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setattr("agent.paths._SYSTEM_RUNTIME", tmp_path / "absent")
    environ = {"HOME": "/home/m"}
    assert paths.state_dir(environ) == Path("/home/m/.local/state/fabunit")
    assert paths.state_dir({**environ, "XDG_STATE_HOME": "/s"}) == Path("/s/fabunit")
    assert paths.default_socket({**environ, "XDG_RUNTIME_DIR": "/run/user/1000"}) == Path(
        "/run/user/1000/fabunit/fabunit.sock"
    )
    assert paths.default_socket(environ) == Path("/home/m/.local/state/fabunit/run/fabunit.sock")
    assert paths.config_dirs({**environ, "XDG_CONFIG_HOME": "rel"}) == (
        Path("/home/m/.config/fabunit"),
        Path("/etc/fabunit"),
    )
    system = tmp_path / "run"
    system.mkdir()
    (system / "fabunit.sock").touch()
    monkeypatch.setattr("agent.paths._SYSTEM_RUNTIME", system)
    assert paths.default_socket({**environ, "XDG_RUNTIME_DIR": "/run/user/1000"}) == system / "fabunit.sock"
