"""How much of a bare process pool's speed is left when Medley shards a real corpus: Tux Paint's stamps.

Both sides make the shards of `examples/stamps` from the installed package with the recipe's own `prepare`: pictures decoded, laid on white,
scaled and encoded, captions cleaned, recordings decoded, resampled and encoded. The whole step is timed, plan, digests, ledger, statistics,
pool, index and cards included, with nothing taken off: throughput is records over seconds. See `benchmarks/sides.py` for what the two sides
share. Goal: 0.85 of the pool's throughput.
"""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Any

import yaml

from benchmarks import measure, sides
from benchmarks.medley import ROOT
from pipeline.store import LocalStore
from tasks.contracts import Artifact, TaskContext
from tasks.ingest import IngestConfig, ingest
from tasks.registry import add_code_dir
from tasks.shard import ShardConfig

RECIPE = ROOT / "examples" / "stamps" / "recipe.yaml"
GOAL_RATIO = 0.85


def run(rounds: int, limit: int | None = None) -> dict[str, Any]:
    """The ratio of throughputs; records a second of both sides beside it. `limit`: so many records of the corpus."""
    steps = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["steps"]
    config = ShardConfig.model_validate({name: value for name, value in steps["shards"].items() if name not in ("task", "corpus")})
    with tempfile.TemporaryDirectory(prefix="medley-stamps-") as name, sides.processes() as pool:
        folder = Path(name)
        corpus = _corpus(folder, steps["corpus"], limit)
        chunks = sides.chunks(folder, corpus, config)
        _, samples = sides.medley(folder, corpus, config)  # imports, byte code, page cache
        sides.timed(sides.bare(folder, pool, chunks, config), samples)
        ways = {
            "medley": lambda: sides.timed(sides.medley(folder, corpus, config), samples),
            "pool": lambda: sides.timed(sides.bare(folder, pool, chunks, config), samples),
        }
        seconds = measure.interleave(rounds, ways)
    records = sum(len(chunk) for chunk in chunks)
    ratio = [bare / whole for bare, whole in zip(seconds["pool"], seconds["medley"], strict=True)]
    ratios = {"of_pool": measure.median(ratio, goal=GOAL_RATIO, sense="at least")}
    return {
        "name": "stamps",
        "ok": all(entry["ok"] for entry in ratios.values()),
        "ratios": ratios,
        "records": {"in": records, "written": samples},
        "shards": len(chunks),
        "records_per_s": {way: [round(records / value, 1) for value in values] for way, values in seconds.items()},
        "seconds": {way: [round(value, 3) for value in values] for way, values in seconds.items()},
    }


def _corpus(folder: Path, step: dict[str, Any], limit: int | None) -> Artifact:
    """The recipe's corpus. SourceError when the package is not installed."""
    add_code_dir(RECIPE.parent)
    config = IngestConfig.model_validate({name: value for name, value in step.items() if name != "task"} | {"limit": limit})
    output = folder / "corpus"
    output.mkdir()
    store = LocalStore.open(folder / "ingest")
    context = TaskContext(store, "corpus", "corpus", 0, folder, sides.Quiet(), threading.Event(), code_dir=RECIPE.parent)
    return Artifact("corpus", "corpus", output, ingest(config, {}, output, context))
