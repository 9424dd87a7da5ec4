"""Mistakes of different kinds in one recipe: one report holds them all, and nothing that only follows from them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from pipeline import graph, recipe
from pipeline.errors import RecipeError
from tests.pipeline.test_cli import call
from tests.pipeline.toys import RECIPE, toys, written

__all__ = ["toys"]

pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture(autouse=True)
def _no_such_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOPE_X", raising=False)


def problems(folder: Path, text: str, *overrides: str, limit: int | None = None) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        graph.build(recipe.load(written(folder, text), overrides, limit))
    return [problem.replace(str(folder) + "/", "") for problem in caught.value.problems]


FIVE = """\
name: five
steps:
  corpus: {task: ingest, source: {format: folder, path: "${env:NOPE_X}"}, splitt: {by: group, val: 0.1}}
  shards: {task: shard, corpus: corpuss, prepare: {text: {}}}
  model:
    task: train
    shards: shards
    model: {encoders: {text: {kind: gru}}, heads: {digit: {kind: classification}}}
    epochs: many
  one: {task: select, from: two, metric: x, mode: max}
  two: {task: select, from: one, metric: x, mode: max}
"""


@pytest.mark.parametrize("verb", ["check", "plan", "run", "graph"])
def test_five_mistakes_of_five_kinds_are_one_report_in_the_order_of_the_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    code, out, err = call(capsys, verb, written(tmp_path, FIVE))
    lines = err.replace(str(tmp_path) + "/", "").splitlines()
    assert (code, out, lines[-1]) == (2, "", "5 problems; nothing was run")
    assert [re.sub(r"[;,] .*", "", line) for line in lines[:-1]] == [
        "error: recipe.yaml:3: steps.corpus.source.path: the environment variable 'NOPE_X' is not set",
        "error: recipe.yaml:3: steps.corpus.splitt: unknown key 'splitt'",
        "error: recipe.yaml:4: steps.shards.corpus: there is no step 'corpuss'",
        "error: recipe.yaml:9: steps.model.epochs: needs to be a valid integer",
        "error: recipe.yaml:10: the steps feed each other in a circle: one → two → one",
    ]
    assert [hint for line in lines for hint in re.findall("did you mean '(.*)'", line)] == ["split", "corpus"]


ONE_STEP = "name: x\nsteps:\n  corpus: {task: ingest, source: {format: folder, path: .}}\n"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("value: 2", 'value: "${env:NOPE_X}"', "3: steps.a.value: the environment variable 'NOPE_X' is not set"),
        ("task: make", 'task: "${env:NOPE_X}"', "3: steps.a.task: the environment variable"),
        ("{task: make, value: 2}", '"${env:NOPE_X}"', "3: steps.a: the environment variable"),
        ("left: a, plus: 3", 'left: "${env:NOPE_X}", plus: 3', "4: steps.b.left: the environment variable"),
        ("left: a, plus: 3", 'left: a, plus: 3, resources: "${env:NOPE_X}"', "4: steps.b.resources: the environment variable"),
        ("left: a, plus: 3", 'left: a, matrix: "${env:NOPE_X}"', "4: steps.b.matrix: the environment variable"),
        ("left: a, plus: 3", 'left: a, matrix: {plus: "${env:NOPE_X}"}', "4: steps.b.matrix.plus: the environment variable"),
        ("left: a, plus: 3", 'left: a, matrix: {plus: [1, "${env:NOPE_X}"]}', "4: steps.b.matrix.plus.1: the environment variable"),
        ("left: a, plus: 3", 'left: a, matrix: ["${env:NOPE_X}"]', "4: steps.b.matrix.0: the environment variable"),
        ("name: toy", 'name: "${env:NOPE_X}"', "1: name: the environment variable"),
        ("left: a, plus: 3", "lfet: a, plus: 3", "4: steps.b.lfet: unknown key 'lfet'"),
        ("left: a, plus: 3", "left: [a], plus: 3", "4: steps.b.left: needs the name of a step, given ['a']"),
        ("task: make", "task: amke", "3: steps.a.task: 'amke' is not known"),
        ("{task: make, value: 2}", "3", "3: steps.a: needs `task:`"),
        ("value: 2", "value: -2", "3: steps.a.value: needs to be greater than or equal to 0, given -2"),
        ("left: a, plus: 3", "left: a, matrix: {plus: []}", "4: steps.b.matrix.plus: the list is empty"),
        ("shards: c", "shards: c, baseline: 3", "6: steps.d.baseline: needs the name of a step, given 3"),
        ("name: toy", "nmae: toy", "1: nmae: unknown key 'nmae'"),
        ("steps:", "stpes:", "2: stpes: unknown key 'stpes'"),
    ],
)
def test_what_only_follows_from_a_mistake_is_not_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    text = RECIPE.replace("store: store\n", "")
    assert old in text
    found = problems(tmp_path, text.replace(old, new, 1))
    assert len(found) == 1
    assert found[0].startswith(f"recipe.yaml:{told}")


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("source: {", "sorce: {", "3: steps.corpus.sorce: unknown key 'sorce'"),
        ("format: folder", "fromat: folder", "3: steps.corpus.source: needs `format:`, one of folder"),
        ("format: folder", 'format: "${env:NOPE_X}"', "3: steps.corpus.source.format: the environment variable"),
        ("{format: folder, path: .}", '"${env:NOPE_X}"', "3: steps.corpus.source: the environment variable"),
        ("path: .", "pth: .", "3: steps.corpus.source.pth: unknown key 'pth'"),
    ],
)
def test_what_only_follows_from_a_mistake_deep_in_a_real_step_is_not_told(tmp_path: Path, old: str, new: str, told: str) -> None:
    found = problems(tmp_path, ONE_STEP.replace(old, new))
    assert len(found) == 1
    assert found[0].startswith(f"recipe.yaml:{told}")


class Kindless:
    class Config(BaseModel):
        width: int = 3


MODEL = """\
name: x
steps:
  corpus: {task: ingest, source: {format: folder, path: .}}
  shards: {task: shard, corpus: corpus, prepare: {image: {}, text: {}}}
  model:
    task: train
    shards: shards
    read: {image: {size: [8, 8]}}
    model: {encoders: {image: cnn, text: gru}, fusion: sequence, heads: {label: classification}}
"""


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "fusion: sequence",
            "fusion: sequence, width: 15",
            (
                "9: steps.model.model: `width` is odd (15), and what reads both ways halves it: the encoder of text (gru); give an even "
                "`width`, or set `bidirectional: false`"
            ),
        ),
        (
            "text: gru",
            "text: {kind: transformer, num_heads: 3}",
            "9: steps.model.model: `width` (64) is not a multiple of the `num_heads` (3) of the encoder of text; change one of them",
        ),
        (
            "image: cnn",
            "image: {kind: cnn, channels: [12]}",
            "9: steps.model.model.encoders.image.channels.0: needs to be a multiple of 8, given 12",
        ),
        (
            "[8, 8]",
            "[8, 2]",
            (
                "5: steps.model: model.encoders.image: encoder 'cnn' takes images of 4 pixels a side and more, given 8 by 2; raise its "
                "`size` in `read`"
            ),
        ),
        (
            "image: cnn",
            "image: {kind: 'tests.pipeline.test_lint:Kindless'}",
            (
                "9: steps.model.model.encoders.image: tests.pipeline.test_lint:Kindless has a `Config` without `kind`, by which it is "
                "found again; add `kind: str` there"
            ),
        ),
        ("[8, 8]", "[8, 0]", "8: steps.model.read.image.size: sides are 1 to 65500 pixels, given [8, 0]"),
    ],
)
def test_what_a_recipe_alone_shows_of_a_model_is_told_to_its_end(tmp_path: Path, old: str, new: str, told: str) -> None:
    assert old in MODEL
    assert problems(tmp_path, MODEL.replace(old, new, 1)) == [f"recipe.yaml:{told}"]


def test_a_step_of_unknown_task_may_be_what_another_one_lacks(tmp_path: Path) -> None:
    found = problems(tmp_path, "name: x\nsteps:\n  a: {task: amke}\n  b: {task: add}\n  c: {task: add, left: aa}\n")
    assert found[1] == "recipe.yaml:4: steps.b.left: is missing; add needs a corpus: the name of a step with task: ingest or task: make"
    assert "there is no step 'aa'; steps that make a corpus: none as far as their tasks are known; did you mean 'a'?" in found[2]


def test_an_override_below_what_is_not_set_is_not_told_and_one_that_is_wrong_stands_last(tmp_path: Path) -> None:
    text = RECIPE.replace("{task: make, value: 2}", '"${env:NOPE_X}"').replace("plus: 3", "puls: 3")
    found = problems(tmp_path, text, "steps.a.value=1", "steps.z.plus=1", limit=0)
    assert [problem.partition(": ")[0] for problem in found] == ["recipe.yaml:4", "recipe.yaml:5", "--set steps.z.plus=1", "--limit 0"]


def test_a_limit_that_is_wrong_is_told_once(tmp_path: Path) -> None:
    assert problems(tmp_path, ONE_STEP, limit=0) == ["--limit 0: needs a number of records, 1 or more"]


def test_each_circle_is_told_beside_what_else_is_wrong(tmp_path: Path) -> None:
    pairs = "".join(f"  {one}: {{task: add, left: a, right: {two}}}\n" for one, two in ("pq", "qp", "rs", "sr", "tt"))
    found = problems(tmp_path, f"name: x\nsteps:\n  a: {{task: make, valeu: 1}}\n{pairs}")
    assert [problem.partition(": ")[2].partition(";")[0] for problem in found] == [
        "steps.a.valeu: unknown key 'valeu'",
        "the steps feed each other in a circle: p → q → p",
        "the steps feed each other in a circle: r → s → r",
        "the steps feed each other in a circle: t → t",
    ]


REAL = """\
name: real
seed: none
steps:
  corpus: {task: ingest, source: {format: folder, path: ., label: a}}
  shards: {task: shard, corpus: corpus, prepare: {text: {}}}
  model: {task: train, shards: shards, model: {encoders: {image: cnn}, heads: {a: classification}}, matrix: {seed: [0, 1]}}
  report: {task: evaluate, model: model, shards: shards}
  final: {task: evaluate, model: model, shards: shards, splitt: val}
  version: {task: register, model: model, report: report, name: x}
  champion: {task: promote, version: version, report: final, alias: champion, gate: {head: b}}
"""


def test_what_steps_know_of_each_other_and_of_families_is_told_beside_a_misspelt_key(tmp_path: Path) -> None:
    found = problems(tmp_path, REAL)
    assert [problem[:50] for problem in found] == [
        "recipe.yaml:2: seed: needs to be a valid integer, unable to parse string as an integer, given 'none'"[:50],
        "recipe.yaml:6: steps.model: model.encoders.image: the shards are made without image"[:50],
        "recipe.yaml:8: steps.final.splitt: unknown key 'splitt'; allowed"[:50],
        "recipe.yaml:9: steps.version: model: 'model' is a family of 2 variants"[:50],
    ]


def test_what_stands_far_behind_a_step_without_its_family_is_not_told(tmp_path: Path) -> None:
    behind = (
        "  best: {task: select, from: b, metric: x, mode: max}\n"
        "  x: {task: add, left: a, right: best, matrix: {plus: [1, 2]}}\n"
        "  r: {task: judge, shards: x}\n"
        "  last: {task: select, from: r, metric: x, mode: max}\n"
    )
    (problem,) = problems(tmp_path, RECIPE + behind)
    assert problem.startswith("recipe.yaml:8: steps.best.from: step 'b' makes one output, so there is nothing to choose from")


def test_a_matrix_that_is_wrong_hides_nothing_of_its_step(tmp_path: Path) -> None:
    found = problems(tmp_path, RECIPE.replace("left: a, plus: 3", "left: aa, matrix: {plus: 3}, wait: 1"))
    assert [problem.partition("; ")[0] for problem in found] == [
        "recipe.yaml:5: steps.b.matrix.plus: needs a list of values, given 3",
        "recipe.yaml:5: steps.b.wait: unknown key 'wait'",
        "recipe.yaml:5: steps.b.left: there is no step 'aa'",
    ]


OWN = """\
from pydantic import BaseModel, field_validator

class Mine:
    class Config(BaseModel):
        format: str
        path: str
        @field_validator("path", mode="before")
        @classmethod
        def _shouted(cls, value):
            return value.upper()
"""


def test_a_validator_of_the_users_own_meets_no_value_where_a_variable_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "shouting_sources.py").write_text(OWN)
    text = ONE_STEP.replace("format: folder, path: .", 'format: "shouting_sources:Mine", path: "${env:NOPE_X}"')
    (problem,) = problems(tmp_path, text)
    assert problem.startswith("recipe.yaml:3: steps.corpus.source.path: the environment variable 'NOPE_X' is not set")
    with pytest.raises(AttributeError):
        problems(tmp_path, text.replace('"${env:NOPE_X}"', "3"))
