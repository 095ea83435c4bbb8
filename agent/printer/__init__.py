"""The serial printer: protocol engine and safety rules (pure), port, printer thread, service."""
