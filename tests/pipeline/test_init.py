"""`medley init` as a user types it, and that what it writes runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.pipeline.draft.corpora import classes, picture, put
from tests.pipeline.test_cli import call


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_recipe_is_written_that_check_finds_sound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classes(tmp_path / "pets")
    code, out, err = call(capsys, "init", "pets")
    assert (code, err) == (0, "")
    assert "40 records" in out
    assert "wrote recipe.yaml" in out
    assert call(capsys, "check", "recipe.yaml")[0] == 0


def test_what_is_there_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    classes(tmp_path / "pets", number=3)
    (tmp_path / "recipe.yaml").write_text("mine")
    code, _, err = call(capsys, "init", "pets")
    assert (code, err) == (
        2,
        "error: recipe.yaml is there already and is left as it is; name another file with --output, or move it away\n",
    )
    assert (tmp_path / "recipe.yaml").read_text() == "mine"
    assert call(capsys, "init", "pets", "--output", "other.yaml")[0] == 0
    code, _, err = call(capsys, "init", "pets", "--output", "no/such/folder.yaml")
    assert (code, "cannot be written (No such file or directory)" in err) == (2, True)


def test_json_gives_what_was_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(classes(tmp_path / "pets", number=3), README_md="x")
    code, out, _ = call(capsys, "init", "pets", "--json")
    seen = json.loads(out)
    assert code == 0
    assert (seen["recipe"], seen["records"], seen["ignored"]) == (str(tmp_path / "recipe.yaml"), 6, {"md": 1})
    assert seen["modalities"] == {"audio": 6, "image": 6, "text": 6}
    assert seen["labels"] == {"label": {"kind": "category", "classes": {"cat": 3, "dog": 3}}}


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "holds no file to read (it is empty); put files with these extensions into it: jpg"),
        ({"a_pdf": "x", "b_docx": "y"}, "holds no file to read (1 x .docx, 1 x .pdf)"),
    ],
)
def test_a_folder_without_media_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str], files: dict[str, str], said: str) -> None:
    (tmp_path / "data").mkdir()
    put(tmp_path / "data", **files)
    code, _, err = call(capsys, "init", "data")
    assert code == 2
    assert said in err
    assert not (tmp_path / "recipe.yaml").exists()


def test_a_folder_without_labels_is_told_what_training_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "heap", a_png=picture(1), b_png=picture(2))
    code, _, err = call(capsys, "init", "heap")
    assert code == 0
    assert err.startswith("no labels were found, so the recipe ends with the shards; to train, put the samples of each class into a folder")


@pytest.mark.ray
@pytest.mark.usefixtures("ray_session")
def test_a_smoke_run_of_the_recipe_goes_through_and_the_gate_finds_its_samples_too_few(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for place, name in enumerate(("cat", "dog")):
        put(tmp_path / "pets", **{f"{name}__{sample:02}_png": picture(100 * place + sample) for sample in range(12)})
    assert call(capsys, "init", "pets")[0] == 0
    code, out, err = call(capsys, "run", "recipe.yaml", "--json", "--set", "steps.model.epochs=1", "--limit", "20")
    assert code == 3, err
    ran = dict.fromkeys(("corpus", "shards", "model", "report", "version"), "ran")
    assert {name: step["status"] for name, step in json.loads(out)["steps"].items()} == {**ran, "champion": "refused"}
    assert "5 samples with a label are fewer than min_samples 6" in err
