"""A list of shard sets as a person writes it: what check says, what plan, graph and schema show, and what enters the key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from pipeline import graph, plan, recipe
from pipeline.__main__ import main
from pipeline.errors import RecipeError
from pipeline.schema import recipe_schema
from pipeline.store import LocalStore
from tests.pipeline.toys import written

RECIPE = """\
name: two
store: store
steps:
  corpus: {task: ingest, source: {format: folder, path: data}, split: {by: group}}
  ours: {task: shard, corpus: corpus, prepare: {text: {}}}
  found: {task: shard, corpus: corpus, prepare: {text: {}}, salt: other}
  model:
    task: train
    shards: [{from: ours, weight: 2}, {from: found, weight: 1}]
    model: {encoders: {text: gru}, heads: {label: classification}}
  report: {task: evaluate, model: model, shards: ours}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("cat", "dog"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "1.txt").write_text(name)
    return tmp_path


def changed(entries: str) -> str:
    return re.sub(r"shards: \[.*\]", lambda _: f"shards: {entries}", RECIPE)


def problems(folder: Path, entries: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        graph.build(recipe.load(written(folder, changed(entries))))
    return [problem.replace(str(folder) + "/", "") for problem in caught.value.problems]


def built(folder: Path, text: str = RECIPE) -> graph.Graph:
    return graph.build(recipe.load(written(folder, text)))


def test_each_set_of_a_list_is_an_input_and_the_config_knows_their_shares(folder: Path) -> None:
    made = built(folder)
    step = made.recipe.steps["model"]
    assert step.inputs == {"shards[0]": "ours", "shards[1]": "found"}
    assert [share.weight for share in step.config.mixture] == [2, 1]  # type: ignore[attr-defined]
    assert made.order == ("corpus", "ours", "found", "model", "report")


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("[{from: ours, weight: 0}]", "steps.model.shards.0.weight: needs to be greater than 0, given 0"),
        ("[{from: ours, weight: -1}]", "steps.model.shards.0.weight: needs to be greater than 0, given -1"),
        ("[{from: ours, wieght: 1}]", "steps.model.shards.0.wieght: unknown key 'wieght'; allowed: weight, epochs, from; did"),
        ("[{from: ours, weight: 1, epochs: 1}]", "steps.model.shards.0: needs either `weight:`"),
        ("[{from: ours}]", "steps.model.shards.0: needs either `weight:`"),
        ("[{from: ours, weight: 1}, {from: found, epochs: 1}]", "steps.model.shards: some sets have a weight and others epochs"),
        ("[{from: ours, weight: 1}, {from: ours, weight: 1}]", "steps.model.shards.1: 'ours' is in the list already; add"),
        ("[{from: fuond, weight: 1}]", "steps.model.shards.0.from: there is no step 'fuond'; steps that make shards: ours, found"),
        ("[{from: corpus, weight: 1}]", "steps.model.shards.0.from: needs shards, but step 'corpus' (ingest) makes a corpus"),
        ("[{weight: 1}]", "steps.model.shards.0: needs `from:`, the name of a step; given None"),
        ("[ours, found]", "steps.model.shards.0: needs a set and its share, such as [{from: a, weight: 2}"),
        ("[]", "steps.model.shards: the list is empty"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_list_is_said_with_its_line(folder: Path, entries: str, message: str) -> None:
    found = problems(folder, entries)
    assert found[0].startswith(f"recipe.yaml:9: {message}")
    assert len(found) == (2 if entries == "[ours, found]" else 1)


def test_the_shares_are_written_in_the_list_alone(folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"steps\.model\.mixture: is put in by Medley"):
        recipe.load(written(folder, RECIPE.replace("    model: {enc", "    mixture: [{weight: 1}]\n    model: {enc")))
    with pytest.raises(RecipeError, match=r"steps\.model\.matrix\.mixture\.0\.weight: is put in by Medley"):
        recipe.load(written(folder, RECIPE.replace("    model: {enc", "    matrix: {mixture.0.weight: [1, 2]}\n    model: {enc")))


def test_a_misspelt_key_is_not_answered_with_what_a_recipe_may_not_set(folder: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        recipe.load(written(folder, RECIPE.replace("    model: {enc", "    epoch: 2\n    model: {enc")))
    (problem,) = caught.value.problems
    allowed = problem.partition("; allowed: ")[2].partition(";")[0].split(", ")
    assert {"epochs", "read", "shards"} <= set(allowed)
    assert "mixture" not in allowed


def test_a_step_that_takes_one_artifact_takes_no_list(folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"steps\.report\.shards: needs the name of a step, given \['ours'\]"):
        recipe.load(written(folder, RECIPE.replace("shards: ours}", "shards: [ours]}")))


def test_order_shares_and_sets_enter_the_key(folder: Path) -> None:
    def key(text: str) -> str:
        return plan.make(built(folder, text), LocalStore(folder / "store")).steps["model"].key

    lists = [
        "[{from: ours, weight: 2}, {from: found, weight: 1}]",
        "[{from: found, weight: 1}, {from: ours, weight: 2}]",
        "[{from: ours, weight: 2}, {from: found, weight: 1.5}]",
        "[{from: ours, epochs: 2}, {from: found, epochs: 1}]",
        "[{from: ours, weight: 2}]",
        "ours",
    ]
    assert len({key(changed(entries)) for entries in lists}) == len(lists)
    assert key(changed(lists[0])) == key(changed("[{from: ours, weight: 2.0}, {from: found, weight: 1.0}]"))


def test_plan_and_graph_show_every_set(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = built(folder)
    assert "from ours (weight 2), found (weight 1)" in graph.text(made)
    assert graph.mermaid(made).count("-->|shards, weight") == 2
    assert main(["plan", str(folder / "recipe.yaml")]) == 0
    assert "5 of 5 steps would run" in capsys.readouterr().out
    assert main(["check", str(folder / "recipe.yaml")]) == 0


def test_an_encoder_may_be_for_what_one_of_the_sets_alone_has(folder: Path) -> None:
    with_audio = RECIPE.replace("prepare: {text: {}}, salt", "prepare: {text: {}, audio: {}}, salt")
    built(folder, with_audio.replace("{text: gru}", "{text: gru, audio: cnn_lstm}"))
    with pytest.raises(RecipeError, match=r"model\.encoders\.image: the shards are made without image"):
        built(folder, with_audio.replace("{text: gru}", "{text: gru, image: cnn}"))


def test_a_family_of_sets_makes_a_family_of_the_training(folder: Path) -> None:
    text = RECIPE.replace("salt: other}", "matrix: {duplicates: [drop, keep]}}")
    made = built(folder, text)
    assert made.recipe.steps["model[duplicates=keep]"].inputs == {"shards[0]": "ours", "shards[1]": "found[duplicates=keep]"}


def test_the_schema_offers_both_forms() -> None:
    steps: list[dict[str, Any]] = recipe_schema()["properties"]["steps"]["additionalProperties"]["oneOf"]
    shards = next(step for step in steps if step["title"] == "train")["properties"]["shards"]
    assert [form["type"] for form in shards["anyOf"]] == ["string", "array"]
    assert set(shards["anyOf"][1]["items"]["properties"]) == {"from", "weight", "epochs"}
    train = next(step for step in steps if step["title"] == "train")["properties"]
    assert "mixture" not in train
