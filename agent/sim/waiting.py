"""The vocabulary of command handlers, and the waits they share.

A handler does its work at once and returns None, or is a generator that yields the instant at which it wants to be
asked again (infinity: only when something happens, like a button). It may be asked earlier; it checks for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from agent.sim.board import Board
from agent.sim.command import Command

Wait = Iterator[float]
Handler = Callable[[Board, Command], Wait | None]


def until_still(board: Board) -> Wait:
    """Wait until the planner has run empty and a quick stop is over."""
    while board.planner.count:
        yield board.planner.next_event()
    board.planner.ideal.rest()
    yield from until(board, board.cleaning_until)


def until(board: Board, instant: float) -> Wait:
    """Wait until an instant."""
    while board.now < instant:
        yield instant


def for_model_time(board: Board, seconds: float) -> Wait:
    """Wait for a time of the modelled machine (shorter when it runs faster than real)."""
    yield from until(board, board.now + seconds / board.config.speed)
