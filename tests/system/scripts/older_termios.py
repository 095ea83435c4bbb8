"""For Python under qemu-user 7.2, which does not know TCGETS2 and TCSETS2 (it answers ENOSYS): the older calls do it.

Speeds that termios has no name for (250,000), and those above 460,800, which qemu-user turns into 0, cannot be set
there: EINVAL, as from a driver that does not take them.
Every interpreter of the tree loads it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios
from typing import Any

_TERMIOS2 = struct.Struct("4IB19s2I")
_TCGETS2, _TCSETS2 = 0x802C542A, 0x402C542B
_CBAUD, _BOTHER = 0o010017, 0o010000
_CFLAG, _CONTROL_CHARACTERS = 2, 19
_FASTEST = 460_800
_SPEEDS = {
    getattr(termios, name): int(name[1:])
    for name in dir(termios)
    if name[:1] == "B" and name[1:].isdigit() and int(name[1:]) <= _FASTEST
}
_CODES = {speed: code for code, speed in _SPEEDS.items()}
_real = fcntl.ioctl


def _ioctl(fd: Any, request: int, argument: Any = 0, mutate_flag: bool = True) -> Any:
    number = fd if isinstance(fd, int) else fd.fileno()
    try:
        if request == _TCGETS2:
            return _answer(_read(number), argument)
        if request == _TCSETS2:
            *flags, _, characters, ispeed, ospeed = _TERMIOS2.unpack(bytes(argument)[: _TERMIOS2.size])
            _write(number, flags, characters, (ispeed, ospeed))
            return 0 if _is_changed(argument) else argument
    except termios.error as error:
        raise OSError(*error.args) from None
    return _real(fd, request, argument, mutate_flag)


def _read(fd: int) -> bytes:
    *flags, ispeed, ospeed, signs = termios.tcgetattr(fd)
    characters = b"".join(sign if isinstance(sign, bytes) else bytes([sign]) for sign in signs)
    return _TERMIOS2.pack(
        *flags, 0, characters[:_CONTROL_CHARACTERS], *(_SPEEDS.get(code, 0) for code in (ispeed, ospeed))
    )


def _write(fd: int, flags: list[int], characters: bytes, speeds: tuple[int, int]) -> None:
    if flags[_CFLAG] & _CBAUD == _BOTHER:
        if not set(speeds) <= set(_CODES):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        codes = [_CODES[speed] for speed in speeds]
    else:
        codes = [flags[_CFLAG] & _CBAUD] * 2
    now = termios.tcgetattr(fd)
    signs = [bytes([sign]) for sign in characters] + now[6][_CONTROL_CHARACTERS:]
    flags[_CFLAG] = flags[_CFLAG] & ~_CBAUD | codes[1]
    termios.tcsetattr(fd, termios.TCSANOW, [*flags, *codes, signs])


def _answer(found: bytes, argument: Any) -> Any:
    """As fcntl.ioctl does it: a buffer that can be changed is, another one is answered by a copy."""
    if not _is_changed(argument):
        return found
    memoryview(argument).cast("B")[: len(found)] = found
    return 0


def _is_changed(argument: Any) -> bool:
    return not isinstance(argument, (bytes, str, int)) and not memoryview(argument).readonly


fcntl.ioctl = _ioctl
