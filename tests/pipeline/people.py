"""A small world with a whole way in it: thirty samples, their shards, a toy model and its report, made once and copied.

Out: the fixtures `built` and `people`. A test module imports them with `_tasks_of_the_world`, which puts the toy tasks into the catalog.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from pipeline import Options, build_graph, catalog, in_process, load_recipe, make_plan, run_plan
from pipeline.catalog import Input, Task
from pipeline.runner import RunResult
from pipeline.store import LocalStore
from tasks.contracts import Inputs, Summary, TaskContext
from tasks.registry import Config

SECRET = "a/s6"  # in train
TWIN, OF = "b/twin", "b/s1"
"""One has the picture of the other, and another text."""

RECIPE = """\
name: people
store: store
steps:
  corpus: {task: ingest, source: {format: folder, path: DATA}, split: {val: 0.2, test: 0.2}}
  shards: {task: shard, corpus: corpus, prepare: {image: {}, text: {}}, sizes: {min_records: 8, max_records: 12}}
  model: {task: learn, shards: shards}
  report: {task: predict, model: model, shards: shards}
"""

_MADE: list[Path] = []
"""The folder, once a test of this process asked for it."""


class NoConfig(Config):
    """Nothing to say."""


def learn(config: NoConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    """Stands for training: takes from shards, has no table."""
    (output_dir / "weights.json").write_text(json.dumps(inputs["shards"].summary["samples"]))
    return {}


def predict(config: NoConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    """Stands for evaluation: one row for each sample of test."""
    index = pq.read_table(inputs["shards"].path / "index.parquet")
    keys = [row["key"] for row in index.to_pylist() if row["split"] == "test"]
    pq.write_table(pa.table({"key": keys}), output_dir / "predictions.parquet")
    return {}


@pytest.fixture(scope="module", autouse=True)
def _tasks_of_the_world() -> Iterator[None]:
    shards, model = Input("shards"), Input("model")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(catalog.CATALOG, "learn", Task(f"{__name__}:NoConfig", f"{__name__}:learn", "model", 1, {"shards": shards}))
        given = {"model": model, "shards": shards}
        patch.setitem(catalog.CATALOG, "predict", Task(f"{__name__}:NoConfig", f"{__name__}:predict", "report", 1, given))
        yield


def picture(seed: int) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (16, 16, 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def written(folder: Path) -> Path:
    """Thirty samples of two classes, one more with the picture of another, and a recipe."""
    for number in range(30):
        (folder / "data" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        write(folder, f"{'ab'[number % 2]}/s{number}", picture(number), f"this is number {number}")
    write(folder, TWIN, picture(1), "the picture of another")
    (folder / "recipe.yaml").write_text(RECIPE.replace("DATA", str(folder / "data")))
    return folder


def write(folder: Path, key: str, image: bytes, text: str) -> None:
    (folder / "data" / f"{key}.png").write_bytes(image)
    (folder / "data" / f"{key}.txt").write_text(text)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything made once, for all test modules; not to be changed."""
    if not _MADE:
        folder = written(tmp_path_factory.mktemp("built"))
        run(folder)
        _MADE.append(folder)
    return _MADE[0]


@pytest.fixture
def people(built: Path, tmp_path: Path) -> Path:
    """The same recipe on the same data, with a store of the test's own in which everything is made. The data are not to be changed."""
    shutil.copy(built / "recipe.yaml", tmp_path)
    subprocess.run(["cp", "-a", built / "store", tmp_path / "store"], check=True)
    return tmp_path


def planned(folder: Path, store: Path | None = None, **options: Any) -> Any:
    recipe = load_recipe(folder / "recipe.yaml", [])
    return make_plan(build_graph(recipe), LocalStore.open(store or recipe.store), **options)


def run(folder: Path, store: Path | None = None, **options: Any) -> RunResult:
    result = run_plan(planned(folder, store, **options), in_process, Options())
    assert result.status == "done", result.steps
    return result
