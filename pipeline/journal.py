"""The event log of a run, and what can be read back from it.

In: events, appended as JSON lines. Out: which runs there are and how their steps stand, also for a run whose process was killed.

    runs/<run>/journal.jsonl        run_started, step_started, step_finished, run_finished
    runs/<run>/plan.json            the parts of every key, for the reasons of the next plan
    runs/<run>/steps/<step>.log     what the step said
    runs/<run>/steps/<step>.json    how far the step is
    runs/<run>/stop                 there once the run was asked to stop
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import disk
from pipeline.errors import NotFound
from pipeline.store import explained
from tasks.registry import closest


def new_run_id() -> str:
    """Sorts by time, to 1/256 s: `20260131-235959-1a2b`, whose last part is the fraction of the second and a random byte."""
    now = time.time()
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(now))}-{int(now % 1 * 256):02x}{secrets.token_hex(1)}"


@dataclass(frozen=True)
class RunDir:
    """The folder of one run."""

    path: Path

    @classmethod
    def create(cls, store_root: Path, run: str) -> RunDir:
        """Make the folders of a new run. Raises StoreError."""
        path = store_root / "runs" / run
        with explained(store_root):
            (path / "steps").mkdir(parents=True)
        return cls(path)

    @property
    def run(self) -> str:
        return self.path.name

    @property
    def store_root(self) -> Path:
        return self.path.parent.parent

    @property
    def stop_file(self) -> Path:
        return self.path / "stop"

    def log_file(self, step: str) -> Path:
        return self.path / "steps" / f"{step}.log"

    def progress_file(self, step: str) -> Path:
        return self.path / "steps" / f"{step}.json"

    def ask_to_stop(self) -> None:
        """Put the stop file there, which steps look for wherever they run. Raises StoreError."""
        with explained(self.store_root):
            self.stop_file.touch()

    def event(self, kind: str, **facts: Any) -> None:
        """Append one event, durably. Raises StoreError."""
        self.events(kind, [facts])

    def events(self, kind: str, each: Iterable[Mapping[str, Any]]) -> None:
        """Append several of a kind, durably and in one go: what waits for the disk is the time that a run with everything cached takes."""
        lines = [json.dumps({"time": time.time(), "event": kind, **facts}, default=str) + "\n" for facts in each]
        if lines:
            with explained(self.store_root):
                disk.append(self.path / "journal.jsonl", "".join(lines).encode())

    def started(self, recipe: str, name: str, command: str) -> None:
        """The first event: who runs what."""
        self.event("run_started", recipe=recipe, name=name, command=command, pid=os.getpid(), host=socket.gethostname(), boot=boot())

    def write_plan(self, parts: Mapping[str, Any]) -> None:
        """Keep the parts of every key. Raises StoreError."""
        with explained(self.store_root):
            (self.path / "plan.json").write_text(json.dumps(parts))


@dataclass
class StepState:
    """How a step of a run stands."""

    name: str
    status: str
    """waiting, running, ran, cached, failed, skipped, refused, stopped."""
    seconds: float = 0.0
    key: str = ""
    message: str = ""
    progress: dict[str, Any] = field(default_factory=dict)


@dataclass
class RunState:
    """How a run stands."""

    run: str
    name: str
    recipe: str
    command: str
    status: str
    """running, done, failed, refused, stopped, or killed when its process is gone without a last word."""
    started: float
    seconds: float
    steps: dict[str, StepState]


def runs(store_root: Path) -> list[str]:
    """Run ids, oldest first."""
    folder = store_root / "runs"
    return sorted(path.name for path in folder.iterdir() if (path / "journal.jsonl").exists()) if folder.is_dir() else []


def find(store_root: Path, run: str | None) -> RunDir:
    """A run by id, by unique beginning, or the newest. Raises NotFound."""
    known = runs(store_root)
    if not known:
        raise NotFound(f"the store {store_root} has no runs yet; start one with `medley run RECIPE --store {store_root}`")
    matching = [name for name in known if name.startswith(run)] if run else known[-1:]
    if run in known:
        matching = [run]
    if len(matching) != 1:
        listed = ", ".join(known[-5:])
        what = f"{len(matching)} runs begin with {run!r}" if matching else f"there is no run {run!r}"
        raise NotFound(f"{what}; the newest are: {listed}{closest(run or '', known)}")
    return RunDir(store_root / "runs" / matching[0])


def last_parts(store_root: Path, name: str) -> dict[str, Any] | None:
    """The key parts of the newest run of a recipe of this name."""
    for run in reversed(runs(store_root)):
        folder = store_root / "runs" / run
        first = next(iter(events(folder)), {})
        if first.get("name") == name and (folder / "plan.json").exists():
            try:
                parts: dict[str, Any] = json.loads((folder / "plan.json").read_bytes())
            except ValueError:
                continue  # torn by a crash; an older run explains as well
            return parts
    return None


def events(folder: Path) -> list[dict[str, Any]]:
    """Events of a journal; a last line torn by a crash is left out."""
    found = []
    for line in (folder / "journal.jsonl").read_text().splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            break
    return found


def state(run_dir: RunDir) -> RunState:
    """Fold a journal into how its run stands now."""
    story = events(run_dir.path)
    first = story[0] if story else {}
    steps: dict[str, StepState] = {name: StepState(name, "waiting") for name in first.get("steps", [])}
    status, end = "", 0.0
    for event in story:
        kind = event["event"]
        if kind == "run_planned":
            steps = {name: StepState(name, "waiting", key=key) for name, key in event["steps"].items()}
        elif kind == "step_started":
            steps[event["step"]] = StepState(event["step"], "running", key=event["key"])
        elif kind == "step_finished":
            steps[event["step"]] = StepState(event["step"], event["status"], event["seconds"], event["key"], event.get("message", ""))
        elif kind == "run_finished":
            status, end = event["status"], event["time"]
    if not status:
        status = "running" if _alive(first) else "killed"
        end = time.time() if status == "running" else (story[-1]["time"] if story else 0.0)
    for step in steps.values():
        if step.status == "running":
            step.status = "running" if status == "running" else status
            step.progress = read_progress(run_dir.progress_file(step.name))
    began = first.get("time", end)
    return RunState(
        run_dir.run, first.get("name", ""), first.get("recipe", ""), first.get("command", ""), status, began, end - began, steps
    )


def read_progress(path: Path) -> dict[str, Any]:
    """What a step last said of itself; empty when it said nothing yet."""
    try:
        progress: dict[str, Any] = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return progress


def boot() -> str:
    """Id of this machine's start; empty where it has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _alive(first: Mapping[str, Any]) -> bool:
    if first.get("host") != socket.gethostname():
        return True  # another machine: nothing here says that it ended
    if first.get("boot") != boot() or "pid" not in first:
        return False
    try:
        os.kill(first["pid"], 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
