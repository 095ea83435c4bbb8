"""The machine's health as read from a folder that looks like /proc and /sys of a Raspberry Pi."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from agent.ops.host import read_host, warnings


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


PI = {
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
    "sys/class/thermal/thermal_zone0/type": "acpitz\n",
    "sys/class/thermal/thermal_zone0/temp": "20000\n",
    "sys/class/thermal/thermal_zone1/type": "cpu-thermal\n",
    "sys/class/thermal/thermal_zone1/temp": "61234\n",
    "proc/meminfo": "MemTotal: 440000 kB\nMemFree: 9 kB\nMemAvailable: 120000 kB\nHugePages_Total: 0\n",
    "proc/uptime": "123.4 99.0\n",
    "proc/loadavg": "0.42 0.1 0.1 1/99 1234\n",
}


def test_a_pi(tmp_path: Path) -> None:
    write(tmp_path, PI)
    health = read_host(tmp_path, tmp_path, lambda: True)
    assert health.throttled == 0x50005
    assert health.is_under_voltage is True
    assert health.cpu_c == 61.2
    assert health.memory_total_bytes == 440_000 * 1024
    assert health.memory_available_bytes == 120_000 * 1024
    assert health.uptime_s == 123.4
    assert health.load == 0.42
    assert health.disk_free_bytes
    assert health.is_clock_set
    assert health.to_document()["cpu_c"] == 61.2


@pytest.mark.parametrize(("alarm", "under"), [("1\n", True), ("0\n", False)])
def test_the_kernels_own_alarm(tmp_path: Path, alarm: str, under: bool) -> None:
    write(
        tmp_path,
        {"sys/class/hwmon/hwmon0/name": "cpu_thermal\n", "sys/class/hwmon/hwmon1/name": "rpi_volt\n"},
    )
    write(tmp_path, {"sys/class/hwmon/hwmon1/in0_lcrit_alarm": alarm})
    assert read_host(tmp_path, tmp_path, lambda: False).is_under_voltage is under


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    write(
        tmp_path, {"proc/meminfo": "garbage\n", "sys/devices/platform/soc/soc:firmware/get_throttled": "no\n"}
    )
    health = read_host(tmp_path / "missing", tmp_path, lambda: False)
    assert (health.cpu_c, health.throttled, health.is_under_voltage, health.disk_free_bytes) == (None,) * 4
    assert warnings(health, 1 << 20) == []


def test_warnings_say_what_to_do(tmp_path: Path) -> None:
    write(tmp_path, PI)
    health = read_host(tmp_path, tmp_path, lambda: True)
    hot = replace(health, cpu_c=84.0, disk_free_bytes=1 << 20, memory_available_bytes=1 << 20)
    said = " | ".join(warnings(hot, 256 << 20))
    for word in ("power supply", "84 °C", "min_free_bytes", "memory"):
        assert word in said
