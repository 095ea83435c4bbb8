"""Who is at the other end of a freshly opened port. Pure: bytes and times in, questions and a result out."""

from agent.printer.handshake.bauds import COMMON_BAUDS, baud_candidates
from agent.printer.handshake.machine import Handshake
from agent.printer.handshake.results import Answered, BoardHalted, Garbage, HandshakeResult, Silent
from agent.printer.handshake.timing import PATIENCE_S

__all__ = [
    "COMMON_BAUDS",
    "PATIENCE_S",
    "Answered",
    "BoardHalted",
    "Garbage",
    "Handshake",
    "HandshakeResult",
    "Silent",
    "baud_candidates",
]
