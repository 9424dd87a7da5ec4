"""Families of variants: `matrix`, steps that are mapped over a family, and `select`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from pipeline import aftermath, graph, journal, recipe, runner
from pipeline.catalog import CATALOG, Input
from pipeline.errors import RecipeError
from pipeline.executors import in_process
from tasks.promotions import Decision, append
from tests.pipeline.test_cli import call
from tests.pipeline.test_runner import planned, run, statuses
from tests.pipeline.toys import RECIPE, toys, written

__all__ = ["toys"]

pytestmark = pytest.mark.usefixtures("toys")

FAMILY = """\
name: toy
store: store
steps:
  a: {task: make, value: 2}
  b: {task: add, left: a, matrix: {plus: [3, 1], wait_s: [0.0, 0.001, 0.002]}}
  c: {task: add, left: a, right: b}
  best: {task: select, from: c, metric: value, mode: max}
  d: {task: judge, shards: best}
"""


def built(folder: Path, text: str = FAMILY, *overrides: str) -> graph.Graph:
    return graph.build(recipe.load(written(folder, text), overrides))


def problems(folder: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        built(folder, text, *overrides)
    return [problem.replace(str(folder) + "/", "") for problem in caught.value.problems]


def changed(old: str, new: str) -> str:
    assert old in FAMILY
    return FAMILY.replace(old, new)


def test_every_combination_is_a_step_and_what_takes_a_family_becomes_one(tmp_path: Path) -> None:
    graph_ = built(tmp_path)
    assert graph_.families["b"][:2] == ("b[plus=3,wait_s=0.0]", "b[plus=3,wait_s=0.001]")
    assert graph_.families["b"][-1] == "b[plus=1,wait_s=0.002]"
    assert graph_.families["c"] == tuple(name.replace("b[", "c[") for name in graph_.families["b"])
    assert graph_.recipe.steps["c[plus=1,wait_s=0.001]"].inputs == {"left": "a", "right": "b[plus=1,wait_s=0.001]"}
    assert graph_.recipe.steps["b[plus=1,wait_s=0.001]"].config.plus == 1  # type: ignore[attr-defined]
    assert list(graph_.recipe.steps["best"].inputs.values()) == list(graph_.families["c"])
    assert graph_.recipe.steps["d"].inputs == {"shards": "best"}
    assert len(graph_.order) == 15


def test_a_variant_has_the_key_of_the_same_step_written_out(tmp_path: Path) -> None:
    variant = planned(tmp_path, FAMILY).steps["b[plus=3,wait_s=0.001]"].key
    assert planned(tmp_path, RECIPE, "steps.b={task: add, left: a, plus: 3, wait_s: 0.001}").steps["b"].key == variant


def test_what_follows_a_selection_is_given_the_chosen_artifact_itself(tmp_path: Path) -> None:
    result = run(tmp_path, FAMILY)
    assert result.status == "done"
    best = result.steps["best"].summary
    assert (best["step"], best["value"]) == ("c[plus=3,wait_s=0.0]", 7)
    assert [variant["value"] for variant in best["variants"]] == [7, 7, 7, 5, 5, 5]
    assert result.steps["d"].summary == {"value": 7}
    manifest = json.loads((Path(result.steps["d"].artifact) / "manifest.json").read_text())
    assert manifest["inputs"] == {"shards": result.steps["c[plus=3,wait_s=0.0]"].key}
    assert manifest["parts"]["inputs"] == {"shards": result.steps["best"].key}
    assert set(statuses(run(tmp_path, FAMILY)).values()) == {"cached"}


def test_a_value_more_runs_what_is_new_and_selects_again(tmp_path: Path) -> None:
    run(tmp_path, FAMILY)
    result = run(tmp_path, FAMILY, "steps.b.matrix.plus=[3, 1, 9]")
    ran = {name for name, status in statuses(result).items() if status == "ran"}
    assert ran == {"best", "d"} | {f"{step}[plus=9,wait_s={wait}]" for step in "bc" for wait in ("0.0", "0.001", "0.002")}
    assert result.steps["d"].summary == {"value": 13}


def test_groups_are_ranked_by_their_mean_and_spread_is_told(tmp_path: Path) -> None:
    text = changed("mode: max", "mode: max, over: plus")
    summary = run(tmp_path, text).steps["best"].summary
    assert summary["group"] == {
        "group": "wait_s=0.0",
        "num": 2,
        "mean": 6.0,
        "spread": pytest.approx(2**0.5),
        "variants": ["plus=3,wait_s=0.0", "plus=1,wait_s=0.0"],
    }
    assert [group["mean"] for group in summary["groups"]] == [6.0, 6.0, 6.0]
    assert summary["chosen"] == "plus=3,wait_s=0.0"


def test_a_selection_may_be_made_by_reports_of_the_variants(tmp_path: Path) -> None:
    text = changed("best: {task: select, from: c,", "r: {task: judge, shards: c, plus: 10}\n  best: {task: select, from: c, by: r,")
    result = run(tmp_path, text, "steps.best.mode=min")
    summary = result.steps["best"].summary
    assert (summary["step"], summary["value"]) == ("c[plus=1,wait_s=0.0]", 15)
    assert result.steps["d"].summary == {"value": 5}


def test_a_listed_matrix_has_just_these_variants(tmp_path: Path) -> None:
    graph_ = built(tmp_path, changed("{plus: [3, 1], wait_s: [0.0, 0.001, 0.002]}", "[{}, {plus: 4, wait_s: 0.5}]"))
    assert graph_.families["b"] == ("b[as-is]", "b[plus=4,wait_s=0.5]")


def test_families_of_one_origin_go_side_by_side_and_of_two_origins_combine(tmp_path: Path) -> None:
    text = """\
name: toy
steps:
  a: {task: make, matrix: {value: [1, 2]}}
  b: {task: add, left: a, matrix: {plus: [0, 1]}}
  c: {task: add, left: a, right: b}
  z: {task: add, left: a, matrix: {plus: [7]}}
  e: {task: judge, shards: z, baseline: "models:/x@champion"}
"""
    graph_ = built(tmp_path, text)
    assert graph_.families["c"] == tuple(f"c[value={value},plus={plus}]" for value in (1, 2) for plus in (0, 1))
    assert graph_.recipe.steps["c[value=2,plus=0]"].inputs == {"left": "a[value=2]", "right": "b[value=2,plus=0]"}
    assert graph_.families["e"] == ("e[value=1,plus=7]", "e[value=2,plus=7]")
    assert graph_.recipe.steps["e[value=2,plus=7]"].inputs["baseline"] == "models:/x@champion"
    other = "  f: {task: make, matrix: {value: [5]}}\n  g: {task: add, left: f, right: z}\n"
    assert built(tmp_path, text + other).families["g"] == ("g[f.value=5,a.value=1,plus=7]", "g[f.value=5,a.value=2,plus=7]")


def test_until_takes_a_family_or_one_variant(tmp_path: Path) -> None:
    graph_ = built(tmp_path)
    assert graph_.needed("b") == ("a", *graph_.families["b"])
    assert graph_.needed("c[plus=1,wait_s=0.0]") == ("a", "b[plus=1,wait_s=0.0]", "c[plus=1,wait_s=0.0]")
    with pytest.raises(RecipeError, match="steps: a, b, c, best, d; did you mean 'best'"):
        graph_.needed("bets")


def test_a_failed_variant_leaves_the_others_and_stops_the_selection(tmp_path: Path) -> None:
    plan = planned(tmp_path, changed("wait_s: [0.0, 0.001, 0.002]", "fail: ['', 'no luck']"))
    result = runner.run(plan, in_process, runner.Options())
    found = statuses(result)
    failed = [name for name, status in found.items() if status == "failed"]
    assert len(failed) == 2
    assert found["best"] == "skipped"
    assert [status for name, status in found.items() if name.startswith("c[")].count("ran") == 2
    report = aftermath.failure_report(plan, result, ["medley", "run", "recipe.yaml"])
    assert f"medley logs {result.run} '{failed[0]}' --store" in report
    assert "no luck" in journal.RunDir(plan.store.root / "runs" / result.run).log_file(failed[0]).read_text()


# ---- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("plus: [3, 1]", "plus: []", "recipe.yaml:5: steps.b.matrix.plus: the list is empty, so there would be no variant"),
        ("plus: [3, 1]", "plus: 3", "recipe.yaml:5: steps.b.matrix.plus: needs a list of values, given 3; write [3]"),
        ("plus: [3, 1]", "plus: [3, 3]", "recipe.yaml:5: steps.b.matrix.plus: 3 is given twice; keep one"),
        ("plus: [3, 1]", "plus: {x: [1]}", "needs a list of values; write a path in one key, such as `plus.x: [...]`"),
        ("plus: [3, 1]", "puls: [3, 1]", "recipe.yaml:5: steps.b.puls: unknown key 'puls'; allowed: plus, "),
        ("plus: [3, 1]", "plus: [3, one]", "given 'one' (in the variant plus=one,wait_s=0.0 and 2 more)"),
        ("plus: [3, 1]", "plus.x: [3, 1]", "recipe.yaml:5: steps.b.plus: needs to be a valid integer, given a mapping"),
        ("plus: [3, 1]", "right: [a]", "steps.b.matrix: 'right' is an input; let the step that it names be a family"),
        ("plus: [3, 1]", "resources.cpus: [1]", "'resources.cpus' can't vary; a matrix varies what stands in the step's config"),
        (
            "{plus: [3, 1], wait_s: [0.0, 0.001, 0.002]}",
            "3",
            "needs paths with lists of values, such as {model.fusion: [concat, attention]",
        ),
        ("{plus: [3, 1], wait_s: [0.0, 0.001, 0.002]}", "[3]", "steps.b.matrix.0: needs a variant, a mapping of paths to values, given 3"),
        ("from: c", "from: left", "there is no step 'left'"),
        (
            "b: {task: add, left: a, matrix: {plus: [3, 1], wait_s: [0.0, 0.001, 0.002]}}",
            "b: {task: add, left: a}",
            "recipe.yaml:7: steps.best.from: step 'c' makes one output, so there is nothing to choose from",
        ),
        ("from: c, ", "", "recipe.yaml:7: steps.best.from: is missing; select needs a family, such as from: b"),
        ("from: c", "from: cc", "there is no step 'cc'; steps: a, b, c, best, d; did you mean 'c'?"),
        ("shards: best", "shards: a", "needs shards, but step 'a' (make) makes a corpus"),
        ("right: b", "right: best", "the steps feed each other in a circle"),
        ("mode: max", "mode: max, over: plsu", "'plsu' is not what the family varies; it varies plus, wait_s; did you mean 'plus'?"),
        ("mode: max", "mode: max, candidates: [{label: x, sets: {}}]", "steps.best.candidates: is put in by Medley; take it out"),
        (", mode: max", "", "recipe.yaml:7: steps.best.mode: is missing"),
        ("from: c", "from: b, by: c2", "there is no step 'c2'"),
        ("b: {", "'b[x]': {", "a step's name has letters, digits, `_`, `.` and `-` only; rename 'b[x]'"),
    ],
)
def test_a_mistake_in_a_family_is_told_before_anything_runs(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert problem in "\n".join(problems(tmp_path, changed(old, new)))


def test_a_matrix_that_is_too_large_says_how_large(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, changed("plus: [3, 1]", f"plus: {list(range(50))}"))
    assert "steps.b.matrix: 50 × 3 = 150 variants, and a family has at most 100: each is a step with an output" in problem
    text = changed("right: b}", f"right: b, matrix: {{plus: {list(range(20))}}}}}")
    assert problems(tmp_path, text)[0].startswith("recipe.yaml:6: steps.c: 120 variants, and a family has at most 100")


def test_what_measures_must_be_a_family_of_the_same_variants(tmp_path: Path) -> None:
    text = changed(
        "best: {task: select, from: c,", "r: {task: judge, shards: c, matrix: {plus: [1, 2]}}\n  best: {task: select, from: c, by: r,"
    )
    (problem,) = problems(tmp_path, text)
    assert problem.startswith(
        "recipe.yaml:8: steps.best.by: the variants of 'r' are not those of 'c', so c[plus=3,wait_s=0.0] would have 0 of them"
    )


def test_a_value_that_the_matrix_sets_is_not_overridden_elsewhere(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, FAMILY, "steps.b.plus=5")
    assert problem == "--set steps.b.plus=5: the step's matrix sets 'plus'; override steps.b.matrix.plus instead"
    assert built(tmp_path, FAMILY, "steps.b.matrix.plus=[8]").families["b"][0] == "b[plus=8,wait_s=0.0]"
    (problem,) = problems(tmp_path, FAMILY, "steps.b.matrix.puls=[8]")
    assert problem.startswith("--set steps.b.matrix.puls=[8]: steps.b.puls: unknown key 'puls'")


TRAINED = """\
name: real
steps:
  corpus: {task: ingest, source: {format: folder, path: ., label: a}}
  shards: {task: shard, corpus: corpus, prepare: {text: {}}}
  model:
    task: train
    shards: shards
    model: {encoders: {text: gru}, heads: {a: classification}}
    matrix:
      model.fusion.kind: [concat, attention]
      seed: [0, 1]
  report: {task: evaluate, model: model, shards: shards, split: val}
  best: {task: select, from: model, by: report, metric: heads.a.accuracy, mode: max}
  final: {task: evaluate, model: best, shards: shards}
  version: {task: register, model: best, report: final, name: x}
"""


def test_a_real_family_is_sound_and_readable(tmp_path: Path) -> None:
    graph_ = built(tmp_path, TRAINED)
    assert graph_.families["report"][0] == "report[fusion.kind=concat,seed=0]"
    lines = graph.text(graph_).splitlines()
    assert lines[2].endswith("train → model × 4   from shards   over model.fusion.kind: concat, attention; seed: 0, 1")
    assert lines[4] == "best     select → model   from model, by: report"
    assert graph.mermaid(graph_).count("-->") == 10
    assert 's2["model × 4<br/><i>train</i>"]' in graph.mermaid(graph_)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[concat, attention]", "[concat, atention]", "recipe.yaml:10: steps.model.model.fusion: kind 'atention' is not known; allowed: "),
        (
            "model.fusion.kind: [concat, attention]",
            "model.fusion: [concat, {kind: attention, layer: 2}]",
            "recipe.yaml:10: steps.model.model.fusion.layer: unknown key 'layer'; ",
        ),
        ("model.fusion.kind: [concat", "modle.fusion.kind: [concat", "recipe.yaml:10: steps.model.modle: unknown key 'modle'; "),
        (
            "heads.a.accuracy",
            "heads.b.accuracy",
            "recipe.yaml:13: steps.best: metric: by will have no 'heads.b.accuracy'; it has heads.a.accuracy, ",
        ),
        (
            "split: val",
            "split: test",
            "recipe.yaml:13: steps.best: by: these reports are on the test split, and a choice made there spoils it",
        ),
        (
            "report: final",
            "report: report",
            "recipe.yaml:15: steps.version: report: 'report' is a family of 4 variants, but register has an effect",
        ),
        (
            "shards: shards, split",
            "shards: best, split",
            "recipe.yaml:12: steps.report.shards: needs shards, but step 'best' (select) makes a model",
        ),
        (
            "encoders: {text: gru}",
            "encoders: {image: cnn}",
            "recipe.yaml:5: steps.model: model.encoders.image: the shards are made without image",
        ),
    ],
)
def test_a_mistake_in_a_real_family_names_its_line(tmp_path: Path, old: str, new: str, problem: str) -> None:
    assert old in TRAINED
    found = problems(tmp_path, TRAINED.replace(old, new))
    assert problem in "\n".join(found)
    assert len(found) == 1 or "circle" in found[1]


def test_the_number_of_a_training_is_known_before_it_runs(tmp_path: Path) -> None:
    text = TRAINED.replace(", by: report", "")
    assert built(tmp_path, text.replace("heads.a.accuracy", "val.a.loss")).order[-1] == "version"
    (problem,) = problems(tmp_path, text.replace("heads.a.accuracy", "val.a.acuracy"))
    assert problem.startswith("recipe.yaml:13: steps.best: metric: from will have no 'val.a.acuracy'; it has val.a.loss, val.a.accuracy, ")
    assert problem.endswith("did you mean 'val.a.accuracy'?")


def test_the_test_split_chooses_when_the_recipe_says_so(tmp_path: Path) -> None:
    text = TRAINED.replace("split: val", "split: test").replace("mode: max", "mode: max, allow_test: true")
    assert built(tmp_path, text).order[-1] == "version"


# ---- what a person sees --------------------------------------------------------------------------------------------------

LONG = FAMILY.replace("plus: [3, 1]", "plus: [1, 2, 3, 4]")


def test_a_long_family_is_one_line_in_plan_status_and_a_cached_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, LONG)
    _, out, _ = call(capsys, "check", path)
    assert "sound, 27 steps: a → b × 12 → c × 12 → best → d" in out
    _, out, _ = call(capsys, "plan", path)
    lines = out.splitlines()
    assert [line.split("  ")[0] for line in lines[1:6]] == ["a", "b × 12", "c × 12", "best", "d"]
    assert "takes from b × 12, which runs" not in lines[2]
    result = run(tmp_path, LONG)
    _, out, _ = call(capsys, "plan", path, "--set", "steps.b.matrix.plus=[1, 2, 3, 5]")
    assert "b × 12  add     run 3" in out
    _, out, _ = call(capsys, "status", "--store", tmp_path / "store")
    assert f"run {result.run}: done" in out
    assert [line.split()[0] for line in out.splitlines()[4:]] == ["a", "b", "c", "best", "d"]
    code, _, err = call(capsys, "run", path)
    assert code == 0
    assert "= b × 12  cached            12 variants" in err
    assert "= best    cached            c[plus=4,wait_s=0.0]: value 8, of 12 variants" in err
    _, out, _ = call(capsys, "plan", path, "--json")
    assert len(json.loads(out)["steps"]) == 27
    _, out, _ = call(capsys, "graph", path, "--json")
    assert len(json.loads(out)["families"]["c"]) == 12


def test_status_names_those_of_a_long_family_that_went_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run(tmp_path, LONG.replace("wait_s: [0.0, 0.001, 0.002]", "fail: ['', a, b]").replace("plus: [1,", "plus: [0, 1,"))
    _, out, _ = call(capsys, "status", "--store", tmp_path / "store")
    assert "b × 15" in out
    assert "5 ran, 10 failed" in out
    assert sum(line.startswith("b[plus=") for line in out.splitlines()) == 10
    code, out, _ = call(capsys, "logs", result.run, "b[plus=2,fail=a]", "--store", tmp_path / "store")
    assert (code, "ValueError: a" in out) == (0, True)


def test_the_schema_knows_families(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "schema")
    steps = {each["title"]: each for each in json.loads(out)["properties"]["steps"]["additionalProperties"]["oneOf"]}
    assert "matrix" in steps["train"]["properties"]
    assert "matrix" not in steps["promote"]["properties"]
    assert "candidates" not in steps["select"]["properties"]
    assert steps["select"]["required"] == ["task", "from", "metric", "mode"]


def test_a_selection_that_became_champion_stays_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The champion is the chosen artifact, whatever step handed it on: the next plan compares it with what it displaced."""
    inputs = {"model": Input("shards"), "baseline": Input("shards", optional=True, reference=True)}
    monkeypatch.setitem(CATALOG, "score", dataclasses.replace(CATALOG["judge"], inputs=inputs))
    text = changed("judge, shards: best", 'score, model: best, baseline: "models:/toy@champion"')
    result = run(tmp_path, text)
    store = planned(tmp_path, text).store
    chosen = result.steps["best"].summary["key"]
    append(store, "toy", Decision(action="promoted", alias="champion", version="1", model_key=chosen, report_key=result.steps["d"].key))
    assert planned(tmp_path, text).to_run == []
