"""Start and end scripts as makers really use them pass: the gate must not refuse honest files."""

from __future__ import annotations

import pytest

from agent import paths
from agent.domain.artefact import Severity
from agent.slicing.profiles import load_profile
from tests.unit.gcode.gate_runner import Gate, ids

BUNDLED = [paths.data_dir() / "slicer_profiles"]
LAYER = (
    ";LAYER_CHANGE\n;Z:0.2\nG1 Z0.2 F720\nG1 X80 Y80 F9000\nG1 X100 Y80 E1.2 F1200\nG1 X100.5 Y90.25 E.35\n"
)

MK3S = """M73 P0 R10
M73 Q0 S11
M201 X1000 Y1000 Z200 E5000 ; sets maximum accelerations, mm/sec^2
M203 X200 Y200 Z12 E120 ; sets maximum feedrates, mm / sec
M204 S1250 T1250 ; sets acceleration (S) and retract acceleration (R), mm/sec^2
M205 X8.00 Y8.00 Z0.40 E4.50 ; sets the jerk limits, mm/sec
M205 S0 T0 ; sets the minimum extruding and travel feed rate, mm/sec
M107
M862.3 P "MK3S" ; printer model check
M862.1 P0.4 ; nozzle diameter check
M115 U3.13.3 ; tell printer latest fw version
G90 ; use absolute coordinates
M83 ; extruder relative mode
M104 S215 ; set extruder temp
M140 S60 ; set bed temp
M190 S60 ; wait for bed temp
M109 S215 ; wait for extruder temp
G28 W ; home all without mesh bed level
G80 ; mesh bed leveling
G92 E0.0
G1 Y-3.0 F1000.0 ; go outside print area
G1 X60.0 E9.0 F1000.0 ; intro line
G1 X100.0 E12.5 F1000.0 ; intro line
G92 E0.0
M221 S95
M900 K0.05 ; Filament gcode LA 1.5
"""
MK3S_END = """G4 ; wait
M221 S100 ; reset flow
M900 K0 ; reset LA
M104 S0 ; turn off temperature
M140 S0 ; turn off heatbed
M107 ; turn off fan
G1 Z30.2 F600
G1 X0 Y200 F3600 ; home X axis
M84 ; disable motors
M73 P100 R0
"""
ENDER = """M140 S60
M105
M190 S60
M104 S200
M105
M109 S200
M82 ;absolute extrusion mode
M201 X500.00 Y500.00 Z100.00 E5000.00 ;Setup machine max acceleration
M203 X500.00 Y500.00 Z10.00 E50.00 ;Setup machine max feedrate
M204 P500.00 R1000.00 T500.00 ;Setup Print/Retract/Travel acceleration
M205 X8.00 Y8.00 Z0.40 E5.00 ;Setup Jerk
M220 S100 ;Reset Feedrate
M221 S100 ;Reset Flowrate
G28 ;Home
M420 S1 Z2
G92 E0 ;Reset Extruder
G1 Z2.0 F3000 ;Move Z Axis up
G1 X-2.1 Y20 Z0.28 F5000.0 ;Move to start position
G1 X-2.1 Y145.0 Z0.28 F1500.0 E15 ;Draw the first line
G1 X-2.4 Y145.0 Z0.28 F5000.0 ;Move to side a little
G1 X-2.4 Y20 Z0.28 F1500.0 E30 ;Draw the second line
G92 E0 ;Reset Extruder
G1 E-1.0000 F1800 ;Retract a bit
G1 Z2.0 F3000 ;Move Z Axis up
G1 E0.0000 F1800
"""
ENDER_END = """M140 S0
M107
G91 ;Relative positioning
G1 E-2 F2700 ;Retract a bit
G1 E-2 Z0.2 F2400 ;Retract and raise Z
G1 X5 Y5 F3000 ;Wipe out
G1 Z10 ;Raise Z more
G90 ;Absolute positioning
G1 X0 Y235 ;Present print
M106 S0 ;Turn-off fan
M104 S0 ;Turn-off hotend
M140 S0 ;Turn-off bed
M84 X Y E ;Disable all steppers but Z
M82 ;absolute extrusion mode
M104 S0
"""
BUDDY = """M17 ; enable steppers
M862.1 P0.4 A0 F1 ; nozzle check
M862.3 P "MK4" ; printer model check
M862.5 P2 ; g-code level check
M862.6 P"Input shaper" ; FW feature check
M115 U6.0.0+14794
M555 X80 Y80 W50 H50
G90
M83
M140 S60
M104 S170
M109 R170
M84 E ; turn off E motor
G28 ; home all without mesh bed level
G1 X42 Y-4 Z5 F4800
M302 S160 ; lower cold extrusion limit to 160C
G1 E-2 F2400
G0 Z5 F480
G29 P1 ; invalidate mbl
G29 P1 X80 Y80 W50 H50 C
G29 P3.2
G29 P3.13
G29 A
M104 S215
M109 S215
G92 E0
M569 S0 E
M572 S0.036
M142 S36
"""
REPRAP = """G21
G90
M83
M140 S60
G10 P0 S210 R150
T0
M116
G28
G29 S1
M572 D0 S0.05
M106 P0 S127.5
"""
KLIPPER = """M190 S60
M109 S210
EXCLUDE_OBJECT_DEFINE NAME=part_id_0_copy_0 CENTER=110,110 POLYGON=[[80,80],[140,80],[140,140],[80,140],[80,80]]
G28
G90
M83
SET_VELOCITY_LIMIT ACCEL=3000
SET_PRESSURE_ADVANCE ADVANCE=0.04
EXCLUDE_OBJECT_START NAME=part_id_0_copy_0
"""


@pytest.mark.parametrize(
    ("name", "dialect", "text", "allowed"),
    [("prusa-mk3s", "prusa", MK3S + LAYER + MK3S_END, ()),
     ("ender-3", "marlin", ENDER + LAYER + ENDER_END, ()),
     ("generic-220", "reprap", REPRAP + LAYER + "M104 S0\nM140 S0\nM84\n", ()),
     ("generic-220", "klipper", KLIPPER + LAYER + "EXCLUDE_OBJECT_END NAME=part_id_0_copy_0\nM104 S0\n", ()),
     ("generic-220", "marlin", KLIPPER + LAYER + "M104 S0\n", ()),
     ("prusa-mk3s", "buddy", BUDDY + LAYER + "M104 S0\n", ("M569",))],
)  # fmt: skip
def test_honest_files_are_not_refused(
    name: str, dialect: str, text: str, allowed: tuple[str, ...], gate: Gate
) -> None:
    from dataclasses import replace

    gate.profile = replace(load_profile(name, BUNDLED), allow_commands=allowed)
    result = gate(text, dialect)
    assert [f for f in result.findings if f.severity is Severity.ERROR] == []
    assert gate.output is not None
    assert LAYER.split("\n", 2)[2].encode() in gate.output


def test_object_words_reach_only_klipper(gate: Gate) -> None:
    gate(KLIPPER + LAYER, "klipper")
    assert gate.output is not None
    assert b"EXCLUDE_OBJECT_DEFINE NAME=part_id_0_copy_0 CENTER=110,110 POLYGON=[[80,80]," in gate.output
    assert "left_out" in ids(gate(KLIPPER + LAYER, "marlin"))
    assert b"EXCLUDE" not in gate.output
