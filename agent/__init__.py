"""fabunit: the print-host agent of a manufacturing unit."""

__version__ = "0.1.0"
