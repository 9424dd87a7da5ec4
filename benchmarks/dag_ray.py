"""What a step costs over the bare Ray task that does the same work: the part of `dag` that needs Ray.

The work is the real `ingest` of one record with 1 KiB of text from a source of the user's own. A step adds its plan, job, log, progress,
journal and the durable publishing of its artifact. Both sides take all CPUs a task, so that they run one after the other.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline import Options, build_graph, load_recipe, make_plan, run_plan
from pipeline.code import ROOT
from pipeline.executors import OnRay
from pipeline.store import LocalStore

STEPS = 30
TINY = '''
from tasks.contracts import Locator, SourceRecord
from tasks.registry import Config as Base


class Tiny:
    """One record with 1 KiB of text."""

    class Config(Base):
        format: str
        number: int = 0

    def __init__(self, config, base_dir):
        self.config = config

    def snapshot(self):
        return {"digest": str(self.config.number)}

    def records(self, output_dir):
        yield SourceRecord("sample", {"text": Locator(inline=b"x" * 1024)}, {"number": float(self.config.number)})
'''


class Quiet:
    """A sink and a stop signal for a task that nobody looks at."""

    def progress(self, *_: Any) -> None: ...

    def metrics(self, *_: Any) -> None: ...

    def note(self, *_: Any) -> None: ...

    def is_set(self) -> bool:
        return False


class OneByOne(OnRay):
    """Each step takes the whole machine."""

    def start(self, job: Any, cpus: int, gpus: int) -> None:  # noqa: ARG002 - all there are
        super().start(job, self._connection.cpus, gpus)


def over_bare_task_ms(rounds: int) -> list[float]:
    """Milliseconds of a step minus those of the bare task, for each round."""
    import ray

    from cluster.connect import connected

    with tempfile.TemporaryDirectory(prefix="medley-dag-") as name, connected(ROOT) as connection:
        folder = Path(name)
        (folder / "tiny_source.py").write_text(TINY)
        LocalStore.open(folder / "store")
        work = ray.remote(num_cpus=connection.cpus)(bare)
        over = []
        for turn in range(rounds + 1):
            numbers = range(turn * 10**6, turn * 10**6 + STEPS)
            begun = time.perf_counter()
            ray.get([work.remote(str(folder), number) for number in numbers])
            plain = time.perf_counter() - begun
            many, one = _run_s(folder, connection, [*numbers]), _run_s(folder, connection, [turn * 10**6 + 10**5])
            over.append(((many - one) / (STEPS - 1) - plain / STEPS) * 1000)
    return over[1:]


def bare(folder: str, number: int) -> int:
    """The task's own function into a folder that nobody keeps."""
    from tasks.contracts import TaskContext
    from tasks.ingest import IngestConfig, ingest
    from tasks.registry import add_code_dir

    add_code_dir(Path(folder))
    with tempfile.TemporaryDirectory(dir=folder) as output:
        config = IngestConfig.model_validate({"source": {"format": "tiny_source:Tiny", "number": number}})
        quiet: Any = Quiet()
        context = TaskContext(LocalStore(Path(folder) / "store"), "", "", 0, Path(output), quiet, quiet, code_dir=Path(folder))
        return int(ingest(config, {}, Path(output), context)["records"])


def _run_s(folder: Path, connection: Any, numbers: list[int]) -> float:
    """Seconds of a run with one step a number."""

    @contextlib.contextmanager
    def executor() -> Iterator[OnRay]:
        yield OneByOne(connection)

    steps = [f'  s{number}: {{task: ingest, source: {{format: "tiny_source:Tiny", number: {number}}}}}' for number in numbers]
    (folder / "recipe.yaml").write_text("name: tiny\nstore: store\nsteps:\n" + "\n".join(steps) + "\n")
    begun = time.perf_counter()
    recipe = load_recipe(folder / "recipe.yaml", [])
    result = run_plan(make_plan(build_graph(recipe), LocalStore.open(folder / "store")), executor, Options())
    took = time.perf_counter() - begun
    if {step.status for step in result.steps.values()} != {"ran"}:
        raise RuntimeError(f"not every step ran: {[(step.name, step.status, step.message) for step in result.steps.values()]}")
    return took
