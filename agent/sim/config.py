"""Settings of the firmware model."""

from __future__ import annotations

from dataclasses import dataclass

from agent.sim.heaters import ThermalFault

PACED_RING_BYTES = 128  # Marlin's RX_BUFFER_SIZE on AVR boards
USB_RING_BYTES = 1024  # native USB boards


@dataclass(frozen=True, slots=True)
class FirmwareConfig:
    """What board and firmware to model and what to break. Probabilities are per line, 0 to 1."""

    dialect: str = "marlin-2.1"
    build: str | None = None  # what it was compiled with; None: as the dialect is usually met
    baud: int = 0  # 0: native USB, unpaced and with back-pressure
    rx_buffer: int | None = None  # bytes; None: 128 paced, 1024 unpaced
    slots: int = 4  # command slots (BUFSIZE), the one being executed included
    planner: int = 16  # planner blocks, of which one always stays free
    speed: float = 1.0  # motion, heating and dwell run so many times faster
    dead_man_speed: float = 1.0  # the clock of M85 runs so many times faster
    command_s: float = 0.0  # processor time per command
    boot_s: float = 0.0  # from power-on or reset to "start"; what arrives meanwhile is lost
    advanced_ok: bool = False
    emergency_parser: bool | None = None  # None: as the build has it
    deaf_parser: bool = False  # the parser is announced but never fed, as seen on some builds
    resend_ok: bool = True  # False: no ok after Resend, as in early-2021 builds and some clones
    tight_resend: bool = False  # "Resend:2" without the blank
    no_timeouts: bool = False  # "wait" once a second while idle
    reset_on_open: bool = False  # opening the port resets the board, as DTR does on Arduino-like boards
    seed: int = 1
    latency_s: float = 0.0  # added to everything the board says
    flip_in: float = 0.0
    flip_out: float = 0.0
    drop_bytes: float = 0.0  # of lines from the host
    drop_bytes_out: float = 0.0  # of lines to the host
    drop_ok: float = 0.0
    double_ok: float = 0.0
    unplug_after_lines: int | None = None  # executed numbered lines
    replug_after_s: float | None = None  # None: stays unplugged
    reset_after_lines: int | None = None
    dead_after_lines: int | None = None
    thermal_fault: ThermalFault = ThermalFault.NONE
    thermal_fault_after_s: float | None = (
        None  # of heating time, from the first target; None: when it is reached
    )
    keep_executed: bool = True  # keep every ledger entry in `Firmware.executed`

    @property
    def ring_bytes(self) -> int:
        """Size of the receive ring."""
        return self.rx_buffer or (PACED_RING_BYTES if self.baud else USB_RING_BYTES)
