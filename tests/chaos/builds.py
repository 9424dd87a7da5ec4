"""A small store under way: two runs of a recipe, the second with changed records, and the promotion log; each phase can be run again.

In: a folder. Out: phases to run in this process, without Ray; what a store must hold after each; and sentences about a store that names
what is not there, found by reading files, not by the code under test.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import pickle
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import LocalStore, Options, build_graph, in_process, journal, load_recipe, make_plan, run_plan
from pipeline import execute as steps
from pipeline import gc as collector
from pipeline.runner import RunResult
from tasks import promotions
from tasks.shards import execute
from tasks.shards.verify import verify
from tasks.shards.write import Job

RECIPE = """
name: tiny
store: store
steps:
  corpus: {{task: ingest, source: {{format: folder, path: {data}}}, split: {{by: group, val: 0.2, test: 0.2}}}}
  shards: {{task: shard, corpus: corpus, prepare: {{text: {{}}}}, sizes: {{min_records: 4, max_records: 6}}}}
"""
NUM_RECORDS = 24
PHASES = ("first", "second", "gc")


def build_here(job: Job, **_: Any) -> Iterator[tuple[int, Any]]:
    """Stands in for `run_units`: the units one after the other in this process, with the way that results take between processes."""
    for number in range(job.num_units):
        yield number, pickle.loads(execute.guarded(job, number))


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The recipes and the texts they read; outside of every store. Units are built in this process meanwhile."""
    folder = tmp_path_factory.mktemp("sources")
    for name, changed in (("first", range(0)), ("second", range(5, 7))):
        data = folder / name
        data.mkdir()
        for number in range(NUM_RECORDS + len(changed)):
            text = f"Record number {number}{' changed' if number in changed else ''}."
            (data / f"r{number:02d}.txt").write_text(text)
        (folder / f"{name}.yaml").write_text(RECIPE.format(data=name))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execute, "run_units", build_here)
        patch.setattr(os, "fsync", lambda file: None)  # the power never really goes; hooks see every call
        patch.setattr(pq, "read_table", functools.partial(pq.read_table, use_threads=False, pre_buffer=False))  # files of a few rows
        patch.setattr(steps, "PROGRESS_INTERVAL_S", 0.0)  # else the clock decides how many calls there are
        yield folder


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder for stores, in memory where the machine has such a place: thousands of them are made and removed."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def go(phase: str, sources: Path, root: Path) -> RunResult:
    """A phase, or again: it makes what is missing and leaves what is there."""
    recipe = load_recipe(sources / f"{'first' if phase == 'first' else 'second'}.yaml", store=root)
    store = LocalStore.open(recipe.store)
    if phase == "gc":
        collector.collect(store, keep_runs=1, grace_s=-60)
    result = run_plan(make_plan(build_graph(recipe), store, "shards"), in_process, Options())
    if result.status == "done":
        _decide(store, result.steps["shards"].key, "refused" if phase == "first" else "promoted")
    return result


def _decide(store: LocalStore, key: str, action: promotions.Action) -> None:
    """As a promote step does: a decision is found by its step, or appended. `gc` then takes the first run's outputs away."""
    entries = promotions.read_log(store, "tiny")
    if promotions.of_step(entries, key) is None:
        decision = promotions.Decision(action=action, alias="champion", version=str(len(entries) + 1), model_key=key, step_key=key)
        assert promotions.append_after(store, "tiny", entries, decision)


def shards(result: RunResult) -> dict[str, str]:
    """Shard → SHA-256 of the file, after checking that the run is whole: status, ledger, and everything by its hash."""
    assert result.status == "done", {name: step.message for name, step in result.steps.items()}
    folder = Path(result.steps["shards"].artifact)
    ledger = result.steps["shards"].summary["ledger"]
    assert ledger["in"] == sum(count for status, count in ledger.items() if status != "in"), ledger
    assert verify(folder) == []
    return {path.name: _sha256(path) for path in sorted((folder / "shards").iterdir())}


# ---- does the store name what is not there ---------------------------------------------------------------------------


def wrong(root: Path, swept: bool = False) -> list[str]:
    """A sentence for each thing that the store says of itself and that is not so.

    `swept`: a gc was there. It leaves a member index that names some unit still in use, and readers look whether the others are.
    """
    indexes = () if swept else _indexes(root)
    return [*_artifacts(root), *_pool(root), *indexes, *_objects(root), *_log(root), *_journals(root)]


def _artifacts(root: Path) -> Iterator[str]:
    for folder in root.glob("artifacts/*/*"):
        try:
            manifest = json.loads((folder / "manifest.json").read_bytes())
            shards_json = json.loads((folder / "shards.json").read_bytes()) if manifest["kind"] == "shards" else {"shards": []}
        except (OSError, ValueError) as error:
            yield f"{folder.name}: it does not say what it holds ({error})"
            continue
        named = {name: (entry["bytes"], entry.get("sha256")) for name, entry in manifest["files"].items()}
        named |= {entry["name"]: (entry["bytes"], entry["sha256"]) for entry in shards_json["shards"]}
        for name, (size, sha256) in named.items():
            yield from _file(folder / name, size, sha256, f"the manifest of {manifest['kind']} {folder.name[:8]}")


def _pool(root: Path) -> Iterator[str]:
    for path in root.glob("pool/??/*.parquet"):
        meta = _meta(path.read_bytes())
        if meta is None:
            yield f"{path.name}: rows that cannot be read"
        else:
            yield from _file(path.with_suffix(".tar"), meta["bytes"], meta["sha256"], f"the rows of unit {path.stem[:8]}")


def _indexes(root: Path) -> Iterator[str]:
    for path in root.glob("pool/members/*/*.parquet"):
        units = _meta(path.read_bytes())
        if units is None:
            yield f"{path.name}: an index that cannot be read"
        else:
            yield from (f"the member index names unit {unit[:8]}, which has no rows" for unit in units if not _rows(root, unit).exists())


@functools.cache
def _meta(content: bytes) -> Any:
    """What a pool file says of itself; None when not all of it can be read."""
    try:
        return json.loads(pq.read_table(pa.BufferReader(content)).schema.metadata[b"medley"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _rows(root: Path, unit: str) -> Path:
    return root / "pool" / unit[:2] / f"{unit}.parquet"


def _file(path: Path, size: int, sha256: str | None, who: str) -> Iterator[str]:
    if not path.exists():
        yield f"{who} names {path.name}, which is missing"
    elif path.stat().st_size != size:
        yield f"{who} names {path.name} with {size} bytes, which has {path.stat().st_size}"
    elif sha256 and _sha256(path) != sha256:
        yield f"{who} names {path.name}, which has other bytes"


def _objects(root: Path) -> Iterator[str]:
    for path in (root / "FORMAT", *root.glob("pins/*.json"), *root.glob("verdicts/*.json"), *root.glob("promotions/*/*.json")):
        with contextlib.suppress(FileNotFoundError):
            try:
                json.loads(path.read_bytes())
            except ValueError:
                yield f"{path.relative_to(root)} is torn"


def _log(root: Path) -> Iterator[str]:
    numbers = sorted(int(path.stem) for path in root.glob("promotions/tiny/*.json"))
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"the promotion log has the entries {numbers}"


def _journals(root: Path) -> Iterator[str]:
    for run in journal.runs(root):
        if not re.fullmatch(r"running|killed|done|failed|stopped|refused", journal.state(journal.RunDir(root / "runs" / run)).status):
            yield f"the journal of {run} cannot be read back"


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
