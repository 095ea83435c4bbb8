"""Making a unit out of a printer and an answer or two: what `fabunit setup` does, without its questions."""
