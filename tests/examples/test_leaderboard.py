"""The leaderboard: one budget for all, paired tests as in the books, and a page from what a run left in its store."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import stats

from pipeline import graph, recipe, runner
from pipeline import plan as plans
from pipeline.executors import in_process
from pipeline.store import LocalStore
from tasks.models.fusions import FUSIONS
from tests.examples.conftest import EXAMPLES, on_path

LEADERBOARD = EXAMPLES / "leaderboard"
SMALL = (
    "steps.early.matrix=[{model.fusion: concat, model.width: 8, seed: 0}, {model.fusion: concat, model.width: 8, seed: 1}]",
    "steps.late.matrix=[{model.fusion: voting, model.width: 8, seed: 0}, {model.fusion: voting, model.width: 8, seed: 1}]",
    "steps.image.matrix=[{model.width: 8, seed: 0}, {model.width: 8, seed: 1}]",
    *(f"steps.{name}.epochs=1" for name in ("early", "late", "image")),
    *(f"steps.{name}_report.resamples=100" for name in ("early", "late", "image")),
)


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    with on_path(LEADERBOARD):
        yield {name: importlib.import_module(name) for name in ("variants", "paired", "leaderboard", "faint_digits")}


def test_the_recipe_is_what_the_script_writes_and_no_model_is_off_the_budget(modules: dict[str, ModuleType]) -> None:
    variants = modules["variants"]
    found = list(variants.variants())
    assert variants.recipe(found) == (LEADERBOARD / "recipe.yaml").read_text(encoding="utf-8")
    assert {(each.family, each.fusion["kind"]) for each in found if each.family != "alone"} == {
        (placement, kind) for placement in ("early", "late", "hybrid") for kind in FUSIONS
    }
    assert all(abs(each.off) <= 0.05 for each in found)


def test_pictures_and_voices_of_the_splits_are_apart(modules: dict[str, ModuleType], tmp_path: Path) -> None:
    source = modules["faint_digits"].FaintDigits
    records = list(source(source.Config(format="faint_digits:FaintDigits"), LEADERBOARD).records(tmp_path))
    assert len({record.group for record in records}) == len(records) == source(source.Config(format=""), LEADERBOARD).snapshot()["records"]
    counts = {split: sum(record.split == split for record in records) for split in ("train", "val", "test")}
    assert counts["train"] < counts["test"]
    assert counts["val"] > 150


def test_holm_steps_down_from_the_smallest(modules: dict[str, ModuleType]) -> None:
    assert modules["paired"].holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert modules["paired"].holm([0.9, 0.8]) == [1.0, 1.0]


def test_the_test_by_seed_is_the_paired_t_test_and_the_one_by_sample_finds_no_difference_where_there_is_none(
    modules: dict[str, ModuleType],
) -> None:
    random, paired = np.random.default_rng(3), modules["paired"]
    one, other = random.random((5, 400)) < 0.8, random.random((5, 400)) < 0.7
    groups = np.arange(400) // 2
    found = paired.compare(one, other, groups)
    assert found.by_seed == pytest.approx(stats.ttest_rel(one.mean(1), other.mean(1)).pvalue)
    assert found.difference.value == pytest.approx(one.mean() - other.mean())
    assert found.difference.low < found.difference.value < found.difference.high
    assert found.by_sample == pytest.approx(1 / 10_001)
    assert paired.compare(one, one, groups).by_sample == 1.0
    assert paired.compare(one[:1], other[:1], groups).by_seed is None


def test_p_by_sample_is_uniform_under_the_null(modules: dict[str, ModuleType], monkeypatch: pytest.MonkeyPatch) -> None:
    random, paired = np.random.default_rng(4), modules["paired"]
    monkeypatch.setattr(paired, "FLIPS", 400)
    low = [paired._by_sample(random.choice([-1.0, 0.0, 1.0], 60), np.arange(60)) <= 0.1 for _ in range(300)]
    assert 0.05 < np.mean(low) < 0.16


def test_the_interval_is_wider_where_seeds_differ(modules: dict[str, ModuleType]) -> None:
    random, paired = np.random.default_rng(5), modules["paired"]
    alike = np.repeat((random.random(500) < 0.8)[None], 5, 0).astype(float)
    apart = np.stack([(random.random(500) < chance) for chance in (0.6, 0.7, 0.8, 0.9, 1.0)]).astype(float)
    widths = [found.high - found.low for found in (paired.mean(each, np.arange(500)) for each in (alike, apart))]
    assert widths[0] == pytest.approx(2 * 1.96 * np.sqrt(0.8 * 0.2 / 500), rel=0.15)
    assert widths[1] > 2 * widths[0]


def ran(store: Path, *, until: str) -> plans.Plan:
    loaded = recipe.load(LEADERBOARD / "recipe.yaml", SMALL, None, store)
    plan = plans.make(graph.build(loaded), LocalStore.open(store), until=until)
    result = runner.run(plan, in_process, runner.Options())
    assert result.status == "done", [step.message for step in result.steps.values()]
    return plan


def test_three_models_with_two_seeds_become_a_page(
    modules: dict[str, ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = [
        "--store",
        str(tmp_path / "store"),
        "--out",
        str(tmp_path / "page.html"),
        *(part for one in SMALL for part in ("--set", one)),
    ]
    main: Any = modules["leaderboard"].main
    for until in ("early_report", "late_report", "image_report"):
        ran(tmp_path / "store", until=until)
    assert main(arguments) == 2
    assert re.search(r"error: \d+ reports are not in the store, .* run `medley run", capsys.readouterr().err)
    assert main([*arguments, "--partial"]) == 0
    assert "3 models, seeds 0, 1" in capsys.readouterr().out
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    for words in (
        "early concat",
        "late voting",
        "image alone",
        "late voting (decision level) minus image alone",
        "default-src &#x27;none&#x27;",
    ):
        assert words in page
    assert page.count("<circle") > 6


def test_an_empty_store_says_what_to_run(modules: dict[str, ModuleType], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert modules["leaderboard"].main(["--store", str(tmp_path / "store"), "--partial"]) == 2
    assert "no report of a fused model yet" in capsys.readouterr().err
