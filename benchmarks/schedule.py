"""What a retraining by schedule takes: new data arrive, the trigger sees them, a run goes through the gate and decides, unattended.

Goal (2 cores): at most 180 s for the demo, from the moment at which the rest of its training pictures arrives to the decision in the
history. `medley schedule` is kept in the foreground as a service keeps it, and looks every 5 s. Outside the clock: the first model, trained
on a third of the pictures by the same schedule. A round takes minutes, so there is one whatever `--rounds` says.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from benchmarks import measure
from benchmarks.medley import RECIPE, ROOT, medley

GOAL_S = 180.0
CHECK_S = 5.0


def run(rounds: int) -> dict[str, Any]:  # noqa: ARG001  one round: see above
    """Seconds until the decision, and the parts of it."""
    with tempfile.TemporaryDirectory(prefix="medley-schedule-") as folder:
        recipe = prepared(Path(folder))
        with kept(recipe, Path(folder) / "store") as events:
            first = until(events, "finished")
            (Path(folder) / "few").unlink()
            arrived = time.perf_counter()
            started = until(events, "started")
            seen_s = time.perf_counter() - arrived
            second = until(events, "finished")
            total_s = time.perf_counter() - arrived
    for event in (first, second):
        if event["status"] not in ("done", "refused") or not event["decision"]:
            raise RuntimeError(f"the run of {event['scheduled']} ended without a decision: {event['status']} {event['message']}")
    ratios = {
        "retraining_s": measure.metric(total_s, total_s, total_s, goal=GOAL_S),
        "until_seen_s": measure.metric(seen_s, seen_s, seen_s),
        "run_s": measure.metric(second["seconds"], second["seconds"], second["seconds"]),
    }
    said = f"{started['why']}; version {first['version']} was {first['decision']}, version {second['version']} {second['decision']}"
    print(said, file=sys.stderr)
    return {"name": "schedule", "ok": all(entry["ok"] for entry in ratios.values()), "ratios": ratios}


def prepared(folder: Path) -> Path:
    """The demo's recipe with a schedule, beside a source of which most has not arrived."""
    for path in [*RECIPE.parent.glob("*.py"), Path(__file__).with_name("arrivals.py")]:
        shutil.copy2(path, folder)
    shutil.copytree(RECIPE.parent / "voices", folder / "voices")
    (folder / "few").touch()
    said = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))
    said["steps"]["corpus"]["source"]["format"] = "arrivals:Arrivals"
    said["schedule"] = {"new_data": {"at_least": 100, "check_every_s": CHECK_S}, "retries": 0}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(said, sort_keys=False), encoding="utf-8")
    return folder / "recipe.yaml"


@contextmanager
def kept(recipe: Path, store: Path) -> Iterator[Iterator[dict[str, Any]]]:
    """Events of `medley schedule` while it keeps the recipe; stopped in order at the end."""
    command = [medley(), "schedule", recipe, "--store", store, "--json"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield (json.loads(line) for line in process.stdout)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(120)


def until(events: Iterator[dict[str, Any]], name: str) -> dict[str, Any]:
    """The next event of this name."""
    for event in events:
        if event["event"] == name:
            return event
    raise RuntimeError(f"medley schedule ended before it said {name!r}; its words on stderr are above")
