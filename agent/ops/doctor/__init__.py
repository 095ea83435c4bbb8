"""What is wrong with an installation, and the command that mends it: one file per subject.

Each subject has facts (a value), `look` (reads them from the machine) and `judge` (pure: facts to findings).
"""
