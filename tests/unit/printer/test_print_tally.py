"""What one attempt has lost, over all its connections: it must reach the receipt."""

from __future__ import annotations

from pathlib import Path

from agent.domain.prints import OutcomeState, PrintOrder
from agent.printer.dialects import MARLIN_2
from agent.printer.engine import LineEngine
from agent.printer.print_tally import PrintTally
from agent.printer.window import WindowSize
from tests.unit.printer.print_bench import Bench


def engine(resends: int, timeouts: int) -> LineEngine:
    made = LineEngine(MARLIN_2, WindowSize(4, 120))
    made.resends, made.timeouts = resends, timeouts
    return made


def test_losses_of_the_running_connection_and_of_earlier_ones_reach_the_outcome(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    order: PrintOrder = bench.run().order
    bench.printer.close()
    tally = PrintTally(order, 100.0)
    first = engine(resends=7, timeouts=3)  # from commands before the print: not this print's
    tally.begin(first)
    first.resends += 5
    tally.take_over(first)
    tally.take_over(first)
    second = engine(resends=0, timeouts=0)
    tally.begin(second)
    second.resends, second.timeouts = 2, 1
    stats = tally.outcome(OutcomeState.COMPLETED, None, "", 101.0).stats
    assert (stats["resends"], stats["timeouts"]) == (7, 1)
