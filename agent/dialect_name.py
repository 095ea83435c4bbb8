"""The firmware families that a configuration or profile can name; the printer side knows what they mean."""

from __future__ import annotations

from typing import Literal

DialectName = Literal[
    "auto",
    "marlin",
    "marlin_20",
    "marlin_1",
    "prusa",
    "buddy",
    "reprap",
    "repetier",
    "smoothie",
    "klipper",
    "cbd",
    "generic",
]

DIALECT_NAMES = (
    "'auto' (asked from the firmware), marlin (2.1 and later), marlin_20, marlin_1, prusa (MK3), "
    "buddy (MK4, XL, MINI), reprap, repetier, smoothie, klipper, cbd or generic"
)
