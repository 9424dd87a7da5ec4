"""What runs again after a change, and what the bookkeeping of a step costs.

A DAG of 30 steps is made of toy tasks: sources that read a file each, and two kinds of joins of one to three earlier steps, some of which
call a function of the user's own. 500 times one thing is changed at random: a byte of a source, a parameter, the version of a task, a
user's function. Then it is planned and run, with the real planner, store and journal, in this process.

Goals: the steps that ran are exactly those that depend on the change (precision and recall 1), and every output is that of a reference
that knows no store. Every one of 200 flipped bits in stored outputs is found by `medley store verify`. A source that changes while a step
reads it poisons nothing, 20 times of 20. A step with 1 KiB of output, durably journaled and published, costs at most 25 ms over the bare
Ray task that does the same work. A run of 100 cached steps takes at most 150 ms from reading the recipe to its last event.
"""

from __future__ import annotations

import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks import dag_ray, dag_tasks, measure
from pipeline import Options, build_graph, in_process, load_recipe, make_plan, run_plan
from pipeline.catalog import CATALOG
from pipeline.runner import RunResult
from pipeline.store import LocalStore
from pipeline.verify import verify

STEPS, SOURCES, FUNCTIONS = 30, 6, 4
CHANGES, FLIPS, RACES = 500, 200, 20
CACHED_STEPS = 100
GOALS = {"step_over_bare_task_ms": 25.0, "cached_run_of_100_ms": 150.0}


def run(rounds: int) -> dict[str, Any]:
    """Shares that must be 1, and medians of milliseconds."""
    with tempfile.TemporaryDirectory(prefix="medley-dag-") as folder, dag_tasks.in_the_catalog():
        world = World(Path(folder) / "changes")
        exact = world.changes(CHANGES)
        found = world.flips(FLIPS)
        unpoisoned = _races(Path(folder) / "races")
        cached = _cached(Path(folder) / "cached", rounds)
    over = dag_ray.over_bare_task_ms(rounds)
    shares = {
        "precision": exact[0],
        "recall": exact[1],
        "outputs_as_the_reference": exact[2],
        "flips_found": found,
        "unpoisoned": unpoisoned,
    }
    ratios = {name: measure.metric(value, value, value, goal=1.0, sense="at least") for name, value in shares.items()}
    ratios["cached_run_of_100_ms"] = measure.median(cached, goal=GOALS["cached_run_of_100_ms"])
    ratios["step_over_bare_task_ms"] = measure.median(over, goal=GOALS["step_over_bare_task_ms"])
    return {"name": "dag", "ok": all(entry["ok"] for entry in ratios.values()), "ratios": ratios}


class World:
    """A recipe of 30 steps whose parts can be changed one by one."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.draw = folder, random.Random(0)
        folder.mkdir(parents=True)
        self.params = {f"s{number:02d}": number * 10**6 for number in range(STEPS)}  # no two steps are the same step
        self.parents: dict[str, list[str]] = {}
        self.function: dict[str, str] = {}
        self.kind: dict[str, str] = {}
        for number, name in enumerate(self.params):
            earlier = list(self.params)[:number]
            self.parents[name] = [] if number < SOURCES else sorted(self.draw.sample(earlier, min(number, self.draw.randint(1, 3))))
            self.kind[name] = "toy_source" if number < SOURCES else self.draw.choice(("toy_join", "toy_other"))
            if number >= SOURCES and number % 5 == 0:
                self.function[name] = f"toy_function_{len(self.function) % FUNCTIONS}"
        for name in list(self.params)[:SOURCES]:
            self.file(name).write_bytes(self.draw.randbytes(64))
        for name in sorted(set(self.function.values())):
            self.file(f"{name}.py").write_text(f"def of(value):\n    return value\n\n\n# {name} 00000000\n")

    def file(self, name: str) -> Path:
        return self.folder / name

    def run(self) -> RunResult:
        lines = ["name: dag", "store: store", "steps:"]
        for name, plus in self.params.items():
            given = "".join(f", {key}: {parent}" for key, parent in zip("abc", self.parents[name], strict=False))
            special = f", path: {name}" if self.kind[name] == "toy_source" else ""
            special += f', function: "{self.function[name]}:of"' if name in self.function else ""
            lines.append(f"  {name}: {{task: {self.kind[name]}, plus: {plus}{special}{given}}}")
        self.file("recipe.yaml").write_text("\n".join(lines) + "\n")
        return _run(self.folder)

    def change(self) -> set[str]:
        """Change one thing; the steps that read it."""
        what = self.draw.choice(("source", "parameter", "version", "function"))
        if what == "parameter":
            name = self.draw.choice(list(self.params))
            self.params[name] += 1
            return {name}
        if what == "version":
            kind = self.draw.choice(sorted(set(self.kind.values())))
            CATALOG[kind] = replace(CATALOG[kind], version=CATALOG[kind].version + 1)
            return {name for name, each in self.kind.items() if each == kind}
        name = self.draw.choice(list(self.params)[:SOURCES] if what == "source" else sorted(set(self.function.values())))
        if what == "source":
            _other_byte(self.file(name), self.draw)
            return {name}
        path = self.file(f"{name}.py")
        text = path.read_text()
        path.write_text(f"{text[:-9]}{int(text[-9:-1]) + 1:08d}\n")
        return {step for step, each in self.function.items() if each == name}

    def changes(self, number: int) -> tuple[float, float, float]:
        """Precision and recall of what ran again, and the share of outputs that are as the reference has them."""
        self.run()
        hits = ran_in_vain = missed = right = outputs = 0
        for _ in range(number):
            dependent = self._behind(self.change())
            result = self.run()
            ran = {name for name, step in result.steps.items() if step.status == "ran"}
            hits, ran_in_vain, missed = hits + len(ran & dependent), ran_in_vain + len(ran - dependent), missed + len(dependent - ran)
            expected = self.reference()
            right += sum((Path(step.artifact) / "value").read_bytes() == expected[name] for name, step in result.steps.items())
            outputs += len(result.steps)
        return hits / (hits + ran_in_vain), hits / (hits + missed), right / outputs

    def _behind(self, changed: set[str]) -> set[str]:
        found = set(changed)
        for name in self.params:  # parents come before their children
            if found & set(self.parents[name]):
                found.add(name)
        return found

    def reference(self) -> dict[str, bytes]:
        """Every output, computed anew."""
        values: dict[str, bytes] = {}
        for name, plus in self.params.items():
            own = [self.file(name).read_bytes()] if self.kind[name] == "toy_source" else []
            own += [self.file(f"{self.function[name]}.py").read_bytes()] if name in self.function else []
            given = [values[parent] for parent in self.parents[name]]
            values[name] = dag_tasks.value(self.kind[name], CATALOG[self.kind[name]].version, plus, own, given)
        return values

    def flips(self, number: int) -> float:
        """Share of flipped bits that are found."""
        result, found = self.run(), 0
        store = LocalStore(self.folder / "store")
        for _ in range(number):
            step = self.draw.choice(list(result.steps.values()))
            path = Path(step.artifact) / "value"
            data = path.read_bytes()
            position = self.draw.randrange(len(data))
            path.write_bytes(data[:position] + bytes([data[position] ^ 1 << self.draw.randrange(8)]) + data[position + 1 :])
            found += bool(verify(store, step.key))
            path.write_bytes(data)
        return found / number if not any(verify(store, step.key) for step in result.steps.values()) else 0.0


def _run(folder: Path) -> RunResult:
    recipe = load_recipe(folder / "recipe.yaml", [])
    return run_plan(make_plan(build_graph(recipe), LocalStore.open(folder / "store")), in_process, Options())


def _other_byte(path: Path, draw: random.Random) -> None:
    """Another byte at a random place; the time of the last change moves as well, as when a person saves a file."""
    data = bytearray(path.read_bytes())
    position = draw.randrange(len(data))
    data[position] ^= draw.randrange(1, 256)
    path.write_bytes(data)


# ---- a source that changes while it is read ------------------------------------------------------------------------------


def _races(folder: Path) -> float:
    """Share of runs in which a source that changed under the step left nothing in the cache, and the next run gave what is there now."""
    folder.mkdir(parents=True)
    draw, sound = random.Random(1), 0
    (folder / "recipe.yaml").write_text("name: race\nstore: store\nsteps:\n  s: {task: toy_source, path: data, touch: true}\n")
    (folder / "quiet.yaml").write_text("name: race\nstore: store\nsteps:\n  s: {task: toy_source, path: data}\n")
    for _ in range(RACES):
        (folder / "data").write_bytes(draw.randbytes(64))
        failed = _run(folder)
        kept = [path for path in (folder / "store" / "artifacts").glob("*/*") if path.name == failed.steps["s"].key]
        quiet = run_plan(
            make_plan(build_graph(load_recipe(folder / "quiet.yaml", [])), LocalStore.open(folder / "store")), in_process, Options()
        )
        version = CATALOG["toy_source"].version
        expected = dag_tasks.value("toy_source", version, 0, [(folder / "data").read_bytes()], [])
        made = (Path(quiet.steps["s"].artifact) / "value").read_bytes()
        sound += failed.status == "failed" and not kept and made == expected
    return sound / RACES


# ---- what bookkeeping costs ----------------------------------------------------------------------------------------------


def _cached(folder: Path, rounds: int) -> list[float]:
    """Milliseconds of a run of 100 steps that are all cached."""
    folder.mkdir(parents=True)
    (folder / "data").write_bytes(b"x" * 64)
    steps = ["  s000: {task: toy_source, path: data}"]
    steps += [f"  s{number:03d}: {{task: toy_join, a: s{number - 1:03d}}}" for number in range(1, CACHED_STEPS)]
    (folder / "recipe.yaml").write_text("name: cached\nstore: store\nsteps:\n" + "\n".join(steps) + "\n")
    _run(folder)
    taken = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        result = _run(folder)
        taken.append((time.perf_counter() - begun) * 1000)
        if {step.status for step in result.steps.values()} != {"cached"}:
            raise RuntimeError("the second run was not cached")
    return taken[1:]
