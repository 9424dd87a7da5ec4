from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import graph, recipe
from pipeline.errors import RecipeError
from tests.pipeline.toys import RECIPE, toys, written

__all__ = ["toys"]

pytestmark = pytest.mark.usefixtures("toys")


def built(folder: Path, text: str = RECIPE) -> graph.Graph:
    return graph.build(recipe.load(written(folder, text)))


def problems(folder: Path, text: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        built(folder, text)
    return [problem.replace(str(folder) + "/", "") for problem in caught.value.problems]


def test_order_follows_the_edges_and_then_the_recipe(tmp_path: Path) -> None:
    steps = [
        "d: {task: judge, shards: c}",
        "c: {task: add, left: a, right: b}",
        "b: {task: add, left: a}",
        "z: {task: make}",
        "a: {task: make}",
    ]
    shuffled = "name: toy\nsteps:\n  " + "\n  ".join(steps)
    assert built(tmp_path, shuffled).order == ("z", "a", "b", "c", "d")


def test_an_unknown_step_names_the_ones_that_fit(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, RECIPE.replace("shards: c", "shards: cc"))
    assert problem == "recipe.yaml:7: steps.d.shards: there is no step 'cc'; steps that make shards: b, c; did you mean 'c'?"


def test_a_wrong_kind_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, RECIPE.replace("shards: c", "shards: a"))
    assert problem == "recipe.yaml:7: steps.d.shards: needs shards, but step 'a' (make) makes a corpus"


def test_a_missing_input_offers_a_step(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, RECIPE.replace(", left: a, plus: 3", ""))
    assert problem == "recipe.yaml:5: steps.b.left: is missing; add needs a corpus, such as left: a"


def test_a_cycle_is_printed_in_order(tmp_path: Path) -> None:
    edges = {"b": "d", "c": "b", "d": "c"}
    steps = [f"  {name}: {{task: add, left: a, right: {source}}}\n" for name, source in edges.items()]
    text = "name: toy\nsteps:\n  a: {task: make}\n" + "".join(steps)
    (problem,) = problems(tmp_path, text)
    assert problem == "recipe.yaml:4: the steps feed each other in a circle: b → c → d → b; remove one of these inputs"


def test_only_an_input_that_takes_references_takes_one(tmp_path: Path) -> None:
    assert built(tmp_path, RECIPE.replace("shards: c", 'shards: c, baseline: "models:/toy@champion"')).order[-1] == "d"
    (problem,) = problems(tmp_path, RECIPE.replace("shards: c", 'shards: "models:/toy@champion"'))
    assert "there is no step 'models:/toy@champion'" in problem
    (problem,) = problems(tmp_path, RECIPE.replace("shards: c", "shards: c, baseline: models/toy"))
    assert "or models:/NAME@ALIAS or models:/NAME/VERSION" in problem


def test_until_keeps_only_what_leads_there(tmp_path: Path) -> None:
    graph_ = built(tmp_path)
    assert graph_.needed("b") == ("a", "b")
    assert graph_.children("b") == ["c", "d"]
    with pytest.raises(RecipeError, match="there is no such step"):
        graph_.needed("e")


def test_pictures_hold_every_step_and_edge(tmp_path: Path) -> None:
    graph_ = built(tmp_path, RECIPE.replace("shards: c", 'shards: c, baseline: "models:/toy@champion"'))
    assert graph.text(graph_).splitlines()[2] == "c  add → shards   from left: a, right: b"
    picture = graph.mermaid(graph_)
    assert picture.startswith("flowchart LR\n")
    assert picture.count("-->") == 4
    assert picture.count("-.->") == 1
