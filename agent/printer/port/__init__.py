"""The connection to the printer: a device, a TCP socket, an RFC 2217 server, an inherited descriptor."""

from agent.printer.port.kept import KeptPorts
from agent.printer.port.network import NetworkPort
from agent.printer.port.opening import adopt_port, open_port
from agent.printer.port.protocol import Port
from agent.printer.port.tty import TtyPort

__all__ = ["KeptPorts", "NetworkPort", "Port", "TtyPort", "adopt_port", "open_port"]
