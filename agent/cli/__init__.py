"""The command line: click commands, loaded when called."""
