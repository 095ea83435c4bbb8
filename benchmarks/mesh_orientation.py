"""The search for a better side to lie on beside Tweaker-3; prints a Markdown table.

`python -m benchmarks.mesh_orientation FILE...`. Tweaker-3 (GPL, not on PyPI) is looked for in the user's cache:
`git clone https://github.com/ChristophSchranz/Tweaker-3 ~/.cache/fabunit-bench/tweaker3`; without it only fabunit's own
rows are printed. Each search runs in a process of its own; the poses are measured by fabunit, in the same way for both.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.board import cache_dir

_PART = """
import json, sys
from pathlib import Path
import numpy as np
from agent.mesh.examine import Order, examine
from agent.mesh.gate.inspect import inspect
from agent.mesh.geometry.hashing import VertexHash
from agent.mesh.geometry.part import Part
from agent.mesh.geometry.survey import survey
from agent.mesh.limits import derive
from agent.mesh.load.read import read
from agent.mesh.orientation import _pose, search
from agent.paths import profiles_dirs
from agent.slicing.profiles import load_profile
path = Path(sys.argv[1])
limits = derive(load_profile("corexy-300", profiles_dirs()))
source = read(path, inspect(path))
found = survey(source, VertexHash(1), overhang_deg=limits.overhang_deg, bed_mm=limits.layer_mm / 2)
part = Part(source, found, limits, seed=1, budget_triangles=10**8)
"""
_OURS = _PART + "print(json.dumps([float(value) for value in search(part)[0].up]))"
_MEASURE = (
    _PART
    + """
for up in json.loads(sys.argv[2]):
    pose = _pose(part, np.array(up), None)
    print(json.dumps([pose.contact_mm2, pose.overhang_mm2, pose.support_mm3, pose.height_mm]))
"""
)
_TWEAKER = """
import json, sys
sys.path.insert(0, sys.argv[2])
from FileHandler import FileHandler
from MeshTweaker import Tweak
mesh = list(FileHandler().load_mesh(sys.argv[1]).values())[0]["mesh"]
matrix = Tweak(mesh, extended_mode=True, verbose=False).matrix
print(json.dumps([float(value) for value in matrix[2]]))
"""


def main() -> None:
    """Measure and print."""
    tweaker = cache_dir() / "tweaker3"
    print("| file | pose | CPU s | on the bed, mm² | overhang, mm² | space for supports, mm³ | height, mm |")
    print("|---|---|---|---|---|---|---|")
    for path in [Path(argument) for argument in sys.argv[1:]]:
        found = [("as it is", None, [0.0, 0.0, 1.0]), ("fabunit", *searched([_OURS, str(path)]))]
        if (tweaker / "MeshTweaker.py").is_file() and path.suffix.lower() == ".stl":
            found.append(("Tweaker-3, extended", *searched([_TWEAKER, str(path), str(tweaker)])))
        command = [sys.executable, "-c", _MEASURE, str(path), json.dumps([up for _, _, up in found])]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        for (name, cpu_s, _), line in zip(found, lines, strict=True):
            contact, overhang, support, height = json.loads(line)
            spent = "" if cpu_s is None else f"{cpu_s:.2f}"
            print(
                f"| {path.name} | {name} | {spent} | {contact:.0f} | {overhang:.0f} | {support:.0f} | {height:.1f} |",
                flush=True,
            )


def searched(arguments: list[str]) -> tuple[float, list[float]]:
    """Run a search; return the processor seconds of its whole process and the direction that becomes up."""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        [sys.executable, "-c", *arguments], stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"the search ended with status {process.returncode}")
    up: list[float] = json.loads(output.strip().splitlines()[-1])
    return usage.ru_utime + usage.ru_stime, up


if __name__ == "__main__":
    main()
