from __future__ import annotations

import struct

import pytest

from agent.domain.errors import ArtefactError
from tests.unit.gcode.gate_runner import Gate

BINARY_STL = b"solid pretends to be text".ljust(80) + struct.pack("<I", 2) + bytes(100)
ASCII_STL = b"solid part\n  facet normal 0 0 1\n    outer loop\n"
ZIP = b"PK\x03\x04" + bytes(26)

CASES = {
    "nothing": (b"", "empty_file"),
    "blanks": (b" \r\n\t \n", "empty_file"),
    "bom only": (b"\xef\xbb\xbf\n", "empty_file"),
    "binary STL": (BINARY_STL, "mesh_unsupported"),
    "ascii STL": (ASCII_STL, "mesh_unsupported"),
    "OBJ": (b"# made by hand\nmtllib a.mtl\no part\nv 0.0 1.0 -2.5\n", "mesh_unsupported"),
    "PLY": (b"ply\nformat ascii 1.0\n", "mesh_unsupported"),
    "OFF": (b"OFF\n8 6 12\n", "mesh_unsupported"),
    "STEP": (b"ISO-10303-21;\nHEADER;\n", "mesh_unsupported"),
    "AMF": (b'<?xml version="1.0"?>\n<amf unit="millimeter">', "mesh_unsupported"),
    "3MF": (ZIP + b"3D/3dmodel.model", "mesh_unsupported"),
    "sliced 3MF": (ZIP + b"Metadata/plate_1.gcode" + b"3D/3dmodel.model", "not_gcode"),
    "other ZIP": (ZIP + b"notes.txt", "not_gcode"),
    "bgcode": (b"GCDE\x01\x00\x00\x00\x01\x00", "not_gcode"),
    "PNG": (b"\x89PNG\r\n\x1a\n" + bytes(20), "not_gcode"),
    "PDF": (b"%PDF-1.7\n", "not_gcode"),
    "ELF": (b"\x7fELF" + bytes(20), "not_gcode"),
    "gzip": (b"\x1f\x8b\x08" + bytes(20), "not_gcode"),
    "UTF-16": ("G28\nG1 X1\n".encode("utf-16"), "not_gcode"),
    "UTF-16 without mark": ("G28\nG1 X1\n".encode("utf-16-le"), "not_gcode"),
    "web page": (b"\n<!DOCTYPE html><html>", "not_gcode"),
    "prose": (b"Dear printer,\nplease print this.\n", "not_gcode"),
    "comments only": (b"; nothing\n;here\n", "not_gcode"),
    "noise": (bytes(range(256)) * 4, "not_gcode"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_no_gcode_is_named(case: str, gate: Gate) -> None:
    data, code = CASES[case]
    with pytest.raises(ArtefactError) as caught:
        gate(data)
    assert caught.value.code == code
    assert caught.value.message
    assert caught.value.remedy


def test_a_word_that_starts_like_a_mesh_is_still_gcode(gate: Gate) -> None:
    assert gate("; solid facet ply OFF <html>\nG28\n").is_printable
