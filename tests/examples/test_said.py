"""The recipes that learn to say a caption: they read the stamps by the files of that example, and learn what their pages tell of."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import graph, recipe, runner
from pipeline import plan as plans
from pipeline.executors import in_process
from pipeline.store import LocalStore
from tasks.models.load import load_model
from tasks.models.predict import predict_records
from tests.examples.conftest import EXAMPLES, on_path

PACKAGE = Path("/usr/share/tuxpaint/stamps")
NAMES = ("transcription", "captioning")
needs_package = pytest.mark.skipif(not PACKAGE.is_dir(), reason="the package tuxpaint-stamps-default is not installed")


def planned(store: Path, name: str, *overrides: str, limit: int | None = None) -> plans.Plan:
    with on_path(EXAMPLES / name):
        loaded = recipe.load(EXAMPLES / name / "recipe.yaml", overrides, limit, store)
        return plans.make(graph.build(loaded), LocalStore.open(store))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("file", ["stamps.py", "stamp_files.py"])
def test_the_source_is_that_of_the_stamps(name: str, file: str) -> None:
    assert (EXAMPLES / name / file).resolve() == EXAMPLES / "stamps" / file


@needs_package
def test_both_recipes_begin_with_the_same_corpus(tmp_path: Path) -> None:
    corpora = [planned(tmp_path, name).steps["corpus"].key for name in NAMES]
    assert corpora[0] == corpora[1]


@needs_package
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_makes_a_model_that_says_texts(tmp_path: Path, name: str) -> None:
    small = ("steps.model.epochs=1", "steps.model.batch_size=8", "steps.model.select=last")
    result = runner.run(planned(tmp_path, name, *small, limit=80), in_process, runner.Options())
    assert result.status == "done", [step.message for step in result.steps.values()]
    loaded = load_model(Path(result.steps["model"].artifact))
    sound = (PACKAGE / "animals/birds/blackbird_desc_es.ogg").read_bytes()
    (said,) = predict_records(loaded, [{"audio": sound}]).values()
    assert isinstance(said.values[0], str)
