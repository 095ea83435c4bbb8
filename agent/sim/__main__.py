"""`python -m agent.sim`: the virtual printer."""

from __future__ import annotations

from agent.sim.cli import simulate

if __name__ == "__main__":
    simulate(prog_name="python -m agent.sim")
