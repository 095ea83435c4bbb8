"""Nouns and rules: frozen values, enums and errors; standard library only."""
