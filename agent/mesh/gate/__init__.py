"""The gate in front of any mesh parser: standard library only, bounded memory, typed refusals."""
