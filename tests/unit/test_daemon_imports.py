"""What the daemon loads: everything it may ever need, and nothing that belongs to its child processes."""

from __future__ import annotations

import subprocess
import sys

# Everything the composition root imports late, too.
WHOLE_DAEMON = "import agent.log, agent.app, agent.coordinator.coordinator, agent.jobs.stages.mesh"
FOREIGN = ("numpy", "trimesh", "scipy", "shapely", "PIL", "rich", "networkx")


def test_the_daemon_loads_nothing_heavy() -> None:
    code = f"{WHOLE_DAEMON}\nimport sys\nprint(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "agent" in loaded
    assert loaded.isdisjoint(FOREIGN), loaded & set(FOREIGN)


def test_a_daemon_without_meshes_carries_none_of_what_works_on_them() -> None:
    code = "import agent.log, agent.app, sys\nprint(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = done.stdout.split()
    assert "agent.jobs.meshes" in loaded
    assert not [name for name in loaded if name.startswith(("agent.mesh.", "agent.jobs.stages.workshop"))]
    assert "agent.slicing.engines" not in loaded


def test_the_guard_would_notice() -> None:
    """The same question about a module of the worker has the other answer."""
    code = "import agent.mesh.answer, sys\nprint(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "numpy" in done.stdout.split()
