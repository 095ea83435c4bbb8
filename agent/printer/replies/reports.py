"""Reply lines that carry data: temperatures, positions, firmware names, capabilities."""

from __future__ import annotations

import re
from itertools import zip_longest

from agent.domain.printer import Temperature
from agent.printer.replies.kinds import (
    Capability,
    FirmwareName,
    Info,
    Ok,
    PositionReport,
    Reply,
    TemperatureReport,
)

_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+|[nN][aA][nN]|[iI][nN][fF])"
# A value must end at a blank, a slash, a comma, the line end or a glued `ok`: `T:2x1.97` is noise, not 2 °C.
_HEATER = re.compile(
    rf"(?<![A-Za-z])([TBCPAXLMR]\d{{0,2}}):\s*({_NUMBER})(?=[\s/,]|ok|$)\s*(?:/\s*({_NUMBER})(?=[\s/,@]|ok|$))?"
)
_POWER = re.compile(r"(?<![A-Za-z])([BC]?)@(\d{0,2})(?:\s*:\s*|)(\d+(?:\.\d+)?)")
_SMOOTHIE_POWER = re.compile(rf"([TBCP]\d{{0,2}}):{_NUMBER}\s*/{_NUMBER}\s*@(\d+)")
# The form Marlin prints every second, in one match.
_COMMON = re.compile(
    r"T:(-?\d+\.\d+) /(\d+\.\d+) B:(-?\d+\.\d+) /(\d+\.\d+) @:(\d{1,3}) B@:(\d{1,3})(?: W:(\?|\d{1,4}))?\Z"
)
_WAIT = re.compile(r"(?<![A-Za-z])W:\s*(\?|\d{1,6})")
_EXTRUDER = re.compile(r"(?<![A-Za-z])E:\s*(\d{1,2})(?=\s|$)")
_IS_TEMPERATURE = re.compile(rf"=*(?:T\d{{0,2}}|B|C):\s*{_NUMBER}")
_DOUBLED = re.compile(r"[A-Za-z]+|:+|/+|@+|[-\d.]+")
_AXIS = re.compile(r"(?<![A-Za-z])([XYZABCUVWIJKE]\d?):\s*([-+]?\d+(?:\.\d*)?)(?=[\s,]|ok|T|$)")
_COUNT = re.compile(r"\bCount\b:?")
_FIELD = re.compile(r"(?:^|[\s,])((?:X-)?[A-Z][A-Z0-9_-]+)[:.](?=\s|\S)")
_CAPABILITY = re.compile(r"Cap:\s*([A-Za-z0-9_ -]+?)\s*:\s*([01])")
_SENSOR_DEFECT = re.compile(r"(?<![A-Za-z])D(B|\d):1(?=\s|$)")

# Marlin's soft PWM counts 0..127, Repetier and Smoothie 0..255; only a value above 127 tells them apart.
_SOFT_PWM_FULL = 127.0
_HARD_PWM_FULL = 255.0


def temperatures(text: str) -> tuple[Reply, ...]:
    """Parse a temperature line without a leading `ok`; () when it is none.

    A position report glued to it, and a glued `ok`, become replies of their own.
    """
    match = _COMMON.match(text)
    if match is not None:
        nozzle, nozzle_target, bed, bed_target, power, bed_power, wait = match.groups()
        heaters = {
            "T0": Temperature(float(nozzle), float(nozzle_target), _fraction(float(power))),
            "B": Temperature(float(bed), float(bed_target), _fraction(float(bed_power))),
        }
        if wait is None:
            return (TemperatureReport(heaters),)
        return (TemperatureReport(heaters, waiting=True, wait_s=None if wait == "?" else int(wait)),)
    return _odd_temperatures(text)


def _odd_temperatures(text: str) -> tuple[Reply, ...]:
    if "::" in text:
        text = _halved(text)
    if _IS_TEMPERATURE.match(text) is None or not text.isascii():
        return ()
    cut = text.find("X:")
    tail: tuple[Reply, ...] = ()
    if cut > 0 and " Y:" in text[cut:]:
        tail = positions(text[cut:])
        text = text[:cut]
    report = _temperature_report(text)
    if report is None:
        return ()
    if text.endswith("ok"):
        tail = (*tail, Ok())
    return (report, *tail)


def _temperature_report(text: str) -> TemperatureReport | None:
    found = _HEATER.findall(text)
    if not found:
        return None
    waiting, wait_s, active = False, None, "T0"
    if "W:" in text and (match := _WAIT.search(text)):
        waiting, wait_s = True, None if match[1] == "?" else int(match[1])
    if "E:" in text and (match := _EXTRUDER.search(text)):
        # Blocking heat-up lines of Marlin 1.x and of MK3's bed name the extruder that T stands for.
        waiting, active = True, f"T{match[1]}"
    powers = _powers(text) if "@" in text else {}
    heaters: dict[str, Temperature] = {}
    tools = [key for key, _, _ in found if key[0] == "T" and key != "T"]
    for key, actual, target in found:
        if key == "T":
            # Plain T is the active tool. Beside a T0 it only repeats one of the numbered tools;
            # beside T1 alone it is the first tool (Smoothieware).
            if active in tools:
                continue
            key = active  # noqa: PLW2901
        power = powers.get(key)
        if power is None and key[0] == "T" and len(tools) < 2:
            power = powers.get("T")
        heaters[key] = Temperature(float(actual), float(target or 0.0), power)
    return TemperatureReport(heaters, waiting, wait_s, has_targets=any(target for _, _, target in found))


def _powers(text: str) -> dict[str, float]:
    """Heater powers 0..1 by heater key, `T` for the active tool."""
    powers: dict[str, float] = {}
    if "@:" in text:
        for bed_or_chamber, tool, value in _POWER.findall(text):
            powers[bed_or_chamber or f"T{tool}"] = _fraction(float(value))
    else:
        for key, value in _SMOOTHIE_POWER.findall(text):
            powers[key] = _fraction(float(value))
    return powers


def _fraction(power: float) -> float:
    return min(1.0, power / (_SOFT_PWM_FULL if power <= _SOFT_PWM_FULL else _HARD_PWM_FULL))


def _halved(text: str) -> str:
    """Undo a Creality firmware that prints every piece twice (`TT::27.9327.93 //0.000.00`)."""

    def half(match: re.Match[str]) -> str:
        piece = match[0]
        middle = len(piece) // 2
        return piece[:middle] if piece[:middle] == piece[middle:] else piece

    return _DOUBLED.sub(half, text)


def sensor_defect(text: str) -> str | None:
    """Return the heater whose sensor Repetier reports as broken (`DB:1`, `D0:1`), else None."""
    match = _SENSOR_DEFECT.search(text)
    if match is None:
        return None
    return "B" if match[1] == "B" else f"T{match[1]}"


def positions(text: str) -> tuple[Reply, ...]:
    """Parse a position line without a leading `ok`; () when it is none.

    Needs X and Y: Buddy's temperature lines have an `X:` too (the heatbreak) but never a `Y:`.
    """
    start = text.find("X:")
    if start < 0 or " Y:" not in text or not text.isascii():
        return ()
    tail: tuple[Reply, ...] = ()
    cut = text.find("T:", start)
    if cut > 0:
        tail = temperatures(text[cut:])
        text = text[:cut]
    elif text.endswith("ok"):
        tail = (Ok(),)
    body, _, counted = _parted(text[start:])
    axes = {axis: float(value) for axis, value in _AXIS.findall(body)}
    if "X" not in axes or "Y" not in axes:
        return ()
    return (PositionReport(axes, {axis: float(value) for axis, value in _AXIS.findall(counted)}), *tail)


def _parted(text: str) -> tuple[str, str, str]:
    match = _COUNT.search(text)
    if match is None:
        return text, "", ""
    return text[: match.start()], match[0], text[match.end() :]


def firmware(text: str) -> tuple[Reply, ...]:
    """Parse M115's name line (and capabilities glued to it); () when no name is in it.

    Keys are upper-case words before a colon; values hold blanks and colons and reach to the next key.
    """
    head, glue, caps = text.partition("Cap:")
    matches = list(_FIELD.finditer(head))
    fields: dict[str, str] = {}
    for match, following in zip_longest(matches, matches[1:]):
        value = head[match.end() : following.start() if following else len(head)]
        fields[match[1]] = value.strip().rstrip(",")
    if "FIRMWARE_NAME" not in fields:
        if "NAME" not in fields:
            return ()
        fields["FIRMWARE_NAME"] = fields["NAME"]
    return (FirmwareName(fields), *capabilities(glue + caps))


def capabilities(text: str) -> tuple[Reply, ...]:
    """All `Cap:NAME:0|1` of a line; a broken one becomes an Info."""
    if not text:
        return ()
    found = _CAPABILITY.findall(text)
    if not found:
        return (Info(text),)
    return tuple(Capability(name, state == "1") for name, state in found)
