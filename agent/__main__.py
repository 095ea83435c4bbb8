"""`python -m agent` is `fabunit`."""

from __future__ import annotations

from agent.cli.start import main

if __name__ == "__main__":
    main()
