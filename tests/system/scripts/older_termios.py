"""For Python under qemu-user 7.2, which does not know TCGETS2 and TCSETS2 (it answers ENOSYS): the older calls do it.

Speeds that termios has no name for cannot be set there; nothing else differs. Every interpreter of the tree loads it.
"""

from __future__ import annotations

import fcntl
import struct
import termios
from typing import Any

_TERMIOS2 = struct.Struct("4IB19s2I")
_TCGETS2, _TCSETS2 = 0x802C542A, 0x402C542B
_CONTROL_CHARACTERS = 19
_real = fcntl.ioctl


def _ioctl(fd: Any, request: int, argument: Any = 0, mutate_flag: bool = True) -> Any:
    number = fd if isinstance(fd, int) else fd.fileno()
    if request == _TCGETS2:
        flags, characters, speeds = _split(termios.tcgetattr(number))
        return _TERMIOS2.pack(*flags, 0, characters, *speeds)
    if request == _TCSETS2:
        *flags, _, characters, _, _ = _TERMIOS2.unpack(argument)
        now = termios.tcgetattr(number)
        signs = [bytes([sign]) for sign in characters] + now[6][_CONTROL_CHARACTERS:]
        termios.tcsetattr(number, termios.TCSANOW, [*flags, now[4], now[5], signs])
        return b""
    return _real(fd, request, argument, mutate_flag)


def _split(found: list[Any]) -> tuple[list[int], bytes, tuple[int, int]]:
    signs = [sign if isinstance(sign, bytes) else bytes([sign]) for sign in found[6]]
    return found[:4], b"".join(signs)[:_CONTROL_CHARACTERS], (found[4], found[5])


fcntl.ioctl = _ioctl
