"""Names of threads as the kernel shows them (`ps -L`, `top -H`), so that a hang or a busy thread can be told apart."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path

# TASK_COMM_LEN of Linux less its terminating zero.
_LONGEST = 15


def name_thread(name: str) -> None:
    """Name the calling thread; without /proc it stays nameless."""
    task = Path(f"/proc/self/task/{threading.get_native_id()}/comm")
    with contextlib.suppress(OSError):
        task.write_text(name[:_LONGEST], encoding="ascii")
