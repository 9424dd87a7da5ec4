"""How long a person waits before anything happens: `--help`, `plan`, and a run in which everything is cached.

Goals (wall time, 2 cores): `medley --help` 0.5 s, `medley plan` on the demo 1.0 s, a fully cached `medley run` of it 1.5 s. Each round
starts each command once as a process of its own. Outside the clock: a smoke run that fills a temporary store, and one uncounted
start of each command (byte code, page cache).
"""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.medley import RECIPE, ROOT, medley

GOALS_S = {"help_s": 0.5, "plan_s": 1.0, "cached_run_s": 1.5}
SMOKE = ("--limit", "200")
"""Records of the smoke run; a cached run costs the same however many there are."""
EXITS = (0, 3)
"""A smoke model may be refused by the gate (3), which is a finished run like any other."""


def run(rounds: int) -> dict[str, Any]:
    """Medians of wall seconds; a goal is met when the median is at most the goal."""
    with tempfile.TemporaryDirectory(prefix="medley-startup-") as folder:
        store = Path(folder) / "store"
        verb: list[str | Path] = [medley(), "run", RECIPE, "--store", store, *SMOKE]
        measure.check(measure.run([*verb, "--json"], cwd=ROOT), EXITS)
        refuse_uncached(measure.run([*verb, "--json"], cwd=ROOT))
        commands: dict[str, list[str | Path]] = {
            "help_s": [medley(), "--help"],
            "plan_s": [medley(), "plan", RECIPE, "--store", store],
            "cached_run_s": verb,
        }
        sides = {name: lambda command=command: measure.wall_s(command, cwd=ROOT, exits=EXITS) for name, command in commands.items()}
        measure.interleave(1, sides)
        seconds = measure.interleave(rounds, sides)
    ratios = {name: measure.median(values, goal=GOALS_S[name]) for name, values in seconds.items()}
    return {"name": "startup", "ok": all(entry["ok"] for entry in ratios.values()), "ratios": ratios}


def refuse_uncached(outcome: Any) -> None:
    """Raise when the second run of the same recipe did any work: its time would not be that of a cached run."""
    measure.check(outcome, EXITS)
    ran = [name for name, step in json.loads(outcome.stdout)["steps"].items() if step["status"] == "ran"]
    if ran:
        raise RuntimeError(f"the second run of {RECIPE.name} was not cached: {', '.join(ran)} ran again")
