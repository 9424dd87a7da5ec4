"""The comparison of fusions: it shares the demo's data, and what it chooses can be registered with its whole lineage."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline import graph, recipe, runner
from pipeline import plan as plans
from pipeline.executors import in_process
from pipeline.store import LocalStore
from tests.conftest import ROOT

DIGITS = ROOT / "examples" / "digits"
REGISTER = "steps.version={task: register, model: best, report: report, name: fused}"
SMALL = ("steps.model.epochs=1", "steps.model.matrix.seed=[0]", "steps.report.resamples=100")


def planned(store: Path, name: str, *overrides: str, limit: int) -> plans.Plan:
    loaded = recipe.load(DIGITS / name, overrides, limit, store)
    return plans.make(graph.build(loaded), LocalStore.open(store))


def test_corpus_and_shards_are_those_of_the_demo(tmp_path: Path) -> None:
    fusions, demo = (planned(tmp_path, name, limit=300).steps for name in ("fusions.yaml", "recipe.yaml"))
    assert [fusions[name].key for name in ("corpus", "shards")] == [demo[name].key for name in ("corpus", "shards")]
    assert sum(name.startswith("model[") for name in fusions) == 6


def test_the_chosen_fusion_is_evaluated_and_registered_as_the_training_it_is(tmp_path: Path) -> None:
    plan = planned(tmp_path, "fusions.yaml", *SMALL, REGISTER, limit=400)
    result = runner.run(plan, in_process, runner.Options())
    assert result.status == "done", [step.message for step in result.steps.values()]
    best = result.steps["best"].summary
    losses = {variant["variant"]: variant["value"] for variant in best["variants"]}
    assert best["chosen"] == min(losses, key=lambda label: losses[label])
    assert set(losses) == {"fusion.kind=concat,seed=0", "fusion.kind=attention,seed=0"}
    report = json.loads((Path(result.steps["report"].artifact) / "report.json").read_text())
    assert report["model"]["key"] == result.steps[best["step"]].key
    tags = result.steps["version"].summary["tags"]
    assert tags["medley.model_key"] == result.steps[best["step"]].key
    assert tags["medley.shards_key"] == result.steps["shards"].key
    assert tags["medley.corpus_key"] == result.steps["corpus"].key
    assert plan.store.artifact_path(best["key"]).joinpath("model.safetensors").exists()
    page = (Path(result.steps["report"].artifact) / "report.html").read_text()
    assert 'data-edge="model × 2 to best"' in page
    assert planned(tmp_path, "fusions.yaml", *SMALL, REGISTER, limit=400).to_run == []
