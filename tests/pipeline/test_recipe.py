from __future__ import annotations

from pathlib import Path

import pytest

from pipeline import recipe
from pipeline.errors import RecipeError
from tests.pipeline.toys import RECIPE, toys, written

__all__ = ["toys"]

pytestmark = pytest.mark.usefixtures("toys")


def problems(folder: Path, text: str, **options: object) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        recipe.load(written(folder, text), **options)  # type: ignore[arg-type]
    return [problem.replace(str(folder) + "/", "") for problem in caught.value.problems]


def test_a_sound_recipe_becomes_typed_steps(tmp_path: Path) -> None:
    loaded = recipe.load(written(tmp_path))
    assert list(loaded.steps) == ["a", "b", "c", "d"]
    assert loaded.steps["b"].config.plus == 3  # type: ignore[attr-defined]
    assert loaded.steps["c"].inputs == {"left": "a", "right": "b"}
    assert loaded.store == tmp_path / "store"


@pytest.mark.parametrize("uri", ["sqlite:////srv/mlflow.db", "http://host:5000", "", "sqlite:///:memory:"])
def test_where_mlflow_is_stays_as_it_was_written(tmp_path: Path, uri: str) -> None:
    assert recipe.load(written(tmp_path, f"tracking: {uri!r}\n{RECIPE}")).tracking == uri


def test_a_relative_database_lies_beside_the_recipe_wherever_a_step_runs(tmp_path: Path) -> None:
    assert recipe.load(written(tmp_path, f"tracking: sqlite:///mine.db\n{RECIPE}")).tracking == f"sqlite:///{tmp_path}/mine.db"


def test_a_misspelt_key_names_file_line_and_the_closest_one(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, RECIPE.replace("plus: 3", "puls: 3"))
    assert problem.startswith("recipe.yaml:5: steps.b.puls: unknown key 'puls'; allowed: plus, ")
    assert problem.endswith("did you mean 'plus'?")
    assert "left" in problem


def test_every_mistake_is_in_one_report(tmp_path: Path) -> None:
    text = "name: toy\nseed: minus\nsteps:\n  a: {task: make, value: -2}\n  b: {task: ad}\n  c: {task: add, left: [a]}\n  d: 3\n"
    found = problems(tmp_path, text)
    assert len(found) == 5
    assert found[0] == "recipe.yaml:2: seed: needs to be a valid integer, unable to parse string as an integer, given 'minus'"
    assert found[1] == "recipe.yaml:4: steps.a.value: needs to be greater than or equal to 0, given -2"
    assert found[2].startswith("recipe.yaml:5: steps.b.task: 'ad' is not known; allowed: ingest, ")
    assert found[2].endswith("did you mean 'add'?")
    assert found[3] == "recipe.yaml:6: steps.c.left: needs the name of a step, given ['a']"
    assert found[4].startswith("recipe.yaml:7: steps.d: needs `task:`, one of ingest, ")


def test_a_wrong_type_says_what_was_given(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, RECIPE.replace("plus: 3", "plus: three"))
    assert problem == "recipe.yaml:5: steps.b.plus: needs to be a valid integer, unable to parse string as an integer, given 'three'"


def test_a_duplicate_key_names_both_lines(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "name: toy\nname: other\nsteps: {a: {task: make}}\n")
    assert problem == "recipe.yaml:2: name: given twice, first on line 1; keep one"


def test_broken_yaml_names_its_line(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "name: toy\nsteps: {a: {task: make}\nseed: 1\n")
    assert problem.startswith("recipe.yaml:")
    assert "not valid YAML" in problem


def test_an_unset_variable_is_an_error_and_a_set_one_is_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = RECIPE.replace("plus: 3", 'plus: "${env:MEDLEY_TEST_PLUS}"')
    (problem,) = problems(tmp_path, text)
    assert problem == (
        "recipe.yaml:5: steps.b.plus: the environment variable 'MEDLEY_TEST_PLUS' is not set; "
        "run `export MEDLEY_TEST_PLUS=…` first, or write the value here"
    )
    monkeypatch.setenv("MEDLEY_TEST_PLUS", "41")
    assert recipe.load(written(tmp_path, text)).steps["b"].config.plus == 41  # type: ignore[attr-defined]


def test_an_unquoted_variable_in_a_flow_mapping_is_told_how_to_be_written(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, RECIPE.replace("plus: 3", "plus: ${env:HOME}"))
    assert problem.startswith("recipe.yaml:5: not valid YAML: ")
    assert problem.endswith('inside {…} a variable needs quotes: "${env:NAME}"')


def test_set_overrides_a_value_and_adds_a_key(tmp_path: Path) -> None:
    loaded = recipe.load(written(tmp_path), ["steps.a.value=7", "steps.c.plus=1", "seed=5"])
    assert loaded.steps["a"].config.value == 7  # type: ignore[attr-defined]
    assert loaded.steps["c"].config.plus == 1  # type: ignore[attr-defined]
    assert loaded.seed == 5


def test_a_wrong_override_names_itself(tmp_path: Path) -> None:
    assert problems(tmp_path, RECIPE, overrides=["steps.a.value=-1"]) == [
        "--set steps.a.value=-1: steps.a.value: needs to be greater than or equal to 0, given -1"
    ]
    assert problems(tmp_path, RECIPE, overrides=["steps.z.value=1"]) == [
        "--set steps.z.value=1: there is no 'z' in steps; it has: a, b, c, d"
    ]
    assert "give it as path=value" in problems(tmp_path, RECIPE, overrides=["steps.a.value"])[0]


def test_limit_reaches_ingest_steps_only(tmp_path: Path) -> None:
    text = "name: toy\nsteps:\n  a: {task: ingest, source: {format: folder, path: .}}\n  b: {task: make}\n"
    loaded = recipe.load(written(tmp_path, text), limit=10)
    assert loaded.steps["a"].config.limit == 10  # type: ignore[attr-defined]
    assert loaded.steps["b"].config.limit is None  # type: ignore[attr-defined]


def test_a_missing_file_and_one_that_is_not_text(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"cannot be read \(No such file"):
        recipe.load(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="not UTF-8"):
        recipe.load(tmp_path / "binary.yaml")


def test_an_empty_recipe_says_what_it_needs(tmp_path: Path) -> None:
    assert "a recipe is a mapping" in problems(tmp_path, "")[0]
    found = problems(tmp_path, "steps: {}")
    assert any("name: is missing" in problem for problem in found)
    assert any("needs at least one step" in problem for problem in found)


SHARDS = """\
name: real
steps:
  corpus: {task: ingest, source: {format: folder, path: .}}
  shards: {task: shard, corpus: corpus, prepare: {text: {lowr: true}}}
  model: {task: train, shards: shards, read: {text: {max_token: 3}}, model: {encoders: {text: {kind: gro}}, fusion: concat, heads: {a: {}}}}
"""


def test_a_mistake_deep_in_a_real_step_names_the_keys_of_that_place(tmp_path: Path) -> None:
    found = problems(tmp_path, SHARDS)
    assert len(found) == 4
    assert found[0].startswith("recipe.yaml:4: steps.shards.prepare.text.lowr: unknown key 'lowr'; allowed: ")
    assert found[0].endswith("did you mean 'lower'?")
    assert found[1].startswith("recipe.yaml:5: steps.model.read.text.max_token: unknown key 'max_token'; allowed: max_tokens")
    assert found[2].startswith("recipe.yaml:5: steps.model.model.encoders.text: kind 'gro' is not known; allowed: cnn, vgg, resnet")
    assert found[3].startswith("recipe.yaml:5: steps.model.model.heads.a: needs `kind:`, one of classification, multi_label, regression")


def test_a_kind_in_place_of_a_mapping_names_what_else_it_needs(tmp_path: Path) -> None:
    found = problems(tmp_path, SHARDS.replace("{a: {}}", "{a: ctc}"))[3:]
    assert [problem.split(" (")[0] for problem in found] == [
        f"recipe.yaml:5: steps.model.model.heads.a.{name}: is missing" for name in ("target", "of")
    ]
