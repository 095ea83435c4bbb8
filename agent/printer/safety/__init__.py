"""Rules over the temperature stream: what a healthy heater never does. Pure; time comes as an argument.

The second line of defence: the firmware's own thermal protection is faster (Marlin 2.1: 20 s and 2 °C on the way
up, 40 s and 4 °C at the target) and is meant to act first. These rules catch firmwares built without it,
sensors that firmware believes, telemetry that stops, and heaters that somebody forgot.
"""

from agent.printer.safety.alarms import Action, Alarm, Fault
from agent.printer.safety.idle import IdleHeat
from agent.printer.safety.watch import HeaterWatch, limits_of

__all__ = ["Action", "Alarm", "Fault", "HeaterWatch", "IdleHeat", "limits_of"]
