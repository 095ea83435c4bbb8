"""G-code files: the gate in front of the printer, metadata, modal state."""
