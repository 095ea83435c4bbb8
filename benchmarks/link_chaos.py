"""Random kills over unit, broker, coordinator and network while jobs are pushed and printed.

In the end every record must be at the coordinator once, and every job must have been printed once. By hand:
`python -m benchmarks.link_chaos --kills 100 --jobs 40`. Ends with 1 when anything is wrong.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from agent.coordinator.standin.records import continuity
from benchmarks.link_world import UNIT, LinkWorld

PLACES = ("unit", "broker", "coordinator", "unit's network", "coordinator's network")
# The link's own backoff goes up to two minutes after many failures in a row.
END_LIMIT_S = 300.0


@dataclass
class ChaosResult:
    """What a run has seen; `wrong` is empty when nothing was lost, doubled or printed twice."""

    kills: Counter[str] = field(default_factory=Counter)
    jobs: int = 0
    records: int = 0
    repeated: int = 0
    duration_s: float = 0.0
    catch_up_s: float = 0.0
    wrong: list[str] = field(default_factory=list)


def run(
    folder: Path, *, kills: int, jobs: int, seed: int, moves: int = 150, pause_s: float = 1.5
) -> ChaosResult:
    """Push `jobs` prints of `moves` lines and kill `kills` times meanwhile, `pause_s` apart at the mean."""
    rng = random.Random(seed)
    result = ChaosResult(jobs=jobs)
    parts = [_part(folder, number, moves) for number in range(jobs)]
    began_s = time.monotonic()
    with LinkWorld(folder) as world:
        job_ids: list[str] = []
        for number in range(max(kills, jobs)):
            if len(job_ids) < jobs and (number % max(1, kills // jobs) == 0 or number >= kills):
                job_ids.append(world.push(parts[len(job_ids)]))
            if number < kills:
                place = rng.choice(PLACES)
                result.kills[place] += 1
                _kill(world, place, rng)
            _wait(world, rng.uniform(0.2, 2.0 * pause_s))
        calm_s = time.monotonic()

        def is_over() -> bool:
            world.clear_bed()
            return all(world.order_state(job_id) == "completed" for job_id in job_ids) and world.is_drained()

        try:
            world.until(is_over, "all jobs are completed and all records delivered", END_LIMIT_S)
        except TimeoutError as error:
            states = Counter(str(world.order_state(job_id)) for job_id in job_ids)
            result.wrong.append(f"{dict(states)}: {error}")
        result.catch_up_s = time.monotonic() - calm_s
        world.stop_daemon()
        result.wrong += world.records_wrong() + world.prints_wrong(parts)
        for item in continuity(world.ledger.reading, UNIT):
            result.records += item.received
            result.repeated += item.repeated
    result.duration_s = time.monotonic() - began_s
    return result


def _kill(world: LinkWorld, place: str, rng: random.Random) -> None:
    """Kill or cut one thing; what was killed is started again after a moment."""
    absence_s = rng.choice((0.0, 0.2, 1.0))
    if place == "unit":
        world.kill_daemon()
        _wait(world, absence_s)
        world.start_daemon()
    elif place == "coordinator":
        world.kill_standin()
        _wait(world, absence_s)
        world.start_standin()
    elif place == "broker":
        world.broker.kill()
        _wait(world, absence_s)
        world.broker.start()
    else:
        net = world.unit_net if place == "unit's network" else world.standin_net
        match rng.choice(("cut", "half-close", "stall", "slow", "down")):
            case "cut":
                net.cut()
            case "half-close":
                net.half_close(1.0 + absence_s)
            case "stall":
                net.stall(1.0 + absence_s)
            case "slow":
                net.delay_s = rng.choice((0.0, 0.05, 0.2))
            case _:
                net.down()
                _wait(world, absence_s)
                net.up()


def _wait(world: LinkWorld, seconds: float) -> None:
    """Let time pass, with somebody beside the printer."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        world.clear_bed()
        time.sleep(min(0.1, max(0.0, end_s - time.monotonic())))


def _part(folder: Path, number: int, moves: int) -> Path:
    """Write a print whose every line tells it from all others."""
    path = folder / f"part-{number}.gcode"
    lines = ["G21", "G90", "M83", "G28", f"G1 X{number + 1}.5 Y1 Z0.3 F6000"]
    lines += [
        f"G1 X{10 + move % 180}.{number % 10} Y{10 + number + move / 1000:.3f} F6000" for move in range(moves)
    ]
    path.write_text("\n".join([*lines, "M84", ""]))
    return path


def main() -> int:
    """Run it; 0 when nothing was lost, doubled or printed twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--jobs", type=int, default=40)
    parser.add_argument("--moves", type=int, default=150)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fu-chaos-") as scratch:
        folder = args.folder or Path(scratch)
        result = run(folder, kills=args.kills, jobs=args.jobs, seed=args.seed, moves=args.moves)
    killed = ", ".join(f"{count} {place}" for place, count in sorted(result.kills.items()))
    print(f"{sum(result.kills.values())} kills ({killed}), {result.jobs} jobs in {result.duration_s:.0f} s")
    print(f"{result.records} records at the coordinator, {result.repeated} came again and were recognised;")
    print(f"after the last kill all was printed and delivered within {result.catch_up_s:.1f} s")
    print("\n".join(result.wrong) or "0 lost, 0 doubled, 0 printed twice")
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
