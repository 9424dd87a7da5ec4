"""From a look at data to a recipe: what is chosen, and that each recipe is sound."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline import graph, recipe
from pipeline.draft.choose import choose
from pipeline.draft.media import MEASURES, READINGS, examine
from pipeline.draft.survey import survey
from pipeline.draft.write import ENCODER, recipe_text
from tasks.contracts import Locator
from tasks.modalities import MODALITIES
from tasks.models.encoders import ENCODERS
from tests.pipeline.draft.corpora import classes, picture, put, sound, spoken, table


def written(data: Path, folder: Path) -> tuple[str, dict[str, Any]]:
    """The recipe for some data, after the checks that `medley check` makes."""
    seen = survey(data)
    path = folder / "recipe.yaml"
    path.write_text(recipe_text(seen, choose(seen), path), encoding="utf-8")
    graph.build(recipe.load(path))
    text = path.read_text(encoding="utf-8")
    return text, yaml.safe_load(text)["steps"]


def test_class_folders_become_a_whole_run(tmp_path: Path) -> None:
    text, steps = written(classes(tmp_path / "pets"), tmp_path)
    assert list(steps) == ["corpus", "shards", "model", "report", "version", "champion"]
    assert steps["corpus"]["source"] == {"format": "folder", "path": "pets", "label": "label"}
    assert steps["model"]["model"]["encoders"] == {"audio": {"kind": "cnn_lstm"}, "image": {"kind": "cnn"}, "text": {"kind": "gru"}}
    assert steps["model"]["read"]["image"] == {"size": [16, 24]}
    assert steps["model"]["read"]["audio"] == {"features": "log_mel", "rate_hz": 8000, "num_mels": 40, "max_seconds": 0.5}
    assert steps["champion"]["gate"]["head"] == "label"
    assert "the folders are 2 classes: cat (20), dog (20)" in text


def test_every_line_has_a_comment(tmp_path: Path) -> None:
    for name, data in (("pets", classes(tmp_path / "pets")), ("t.csv", table(tmp_path / "t.csv", spoken(tmp_path)))):
        text, _ = written(data, tmp_path)
        assert [line for line in text.splitlines() if line and not re.search(r"# +\S", line)] == [], name


def test_a_table_becomes_a_run_with_both_kinds_of_heads(tmp_path: Path) -> None:
    text, steps = written(table(tmp_path / "owls and foxes.csv", spoken(tmp_path)), tmp_path)
    source = steps["corpus"]["source"]
    assert source["path"] == "owls and foxes.csv"
    assert source["columns"] == {"image": "picture", "text": {"column": "caption", "inline": True}}
    assert source["labels"] == {"species": {"column": "species"}, "price": {"column": "price", "kind": "number"}}
    assert (source["group"], source["key"]) == ("speaker", "sample_id")
    assert steps["model"]["model"]["heads"] == {"species": {"kind": "classification"}, "price": {"kind": "regression"}}
    assert steps["model"]["read"]["image"]["channels"] == 1
    assert steps["version"]["name"] == "owls_and_foxes"
    assert "# Column 'remark' is not used: 40 values, such as r0." in text


def test_numbers_alone_are_registered_and_not_promoted(tmp_path: Path) -> None:
    rows = [{"text": f"free text number {number}", "price": number / 3} for number in range(30)]
    _, steps = written(table(tmp_path / "t.csv", rows), tmp_path)
    assert list(steps) == ["corpus", "shards", "model", "report", "version"]


def test_without_labels_the_recipe_ends_with_the_shards(tmp_path: Path) -> None:
    put(tmp_path / "heap", **{f"{number}_png": picture(number) for number in range(5)})
    _, steps = written(tmp_path / "heap", tmp_path)
    assert list(steps) == ["corpus", "shards"]


def test_splits_of_the_source_are_kept_and_what_they_lack_is_done_without(tmp_path: Path) -> None:
    for split in ("train", "val"):
        classes(tmp_path / "data", prefix=f"{split}__", number=10)
    _, steps = written(tmp_path / "data", tmp_path)
    assert "split" not in steps["corpus"]
    assert steps["report"]["split"] == "val"
    for split in ("train", "test"):
        classes(tmp_path / "other", prefix=f"{split}__", number=10)
    assert written(tmp_path / "other", tmp_path)[1]["model"]["select"] == "last"


@pytest.mark.parametrize("name", ["no", "2024", "null", "a: b", "# x", "été"])
def test_names_that_yaml_would_misread_arrive_as_they_are(tmp_path: Path, name: str) -> None:
    _, steps = written(classes(tmp_path / name, ["yes", "no"], number=4), tmp_path)
    assert steps["corpus"]["source"]["path"] == name
    rows = [{"on": f"free text number {number}", "y": "ab"[number % 2]} for number in range(20)]
    _, steps = written(table(tmp_path / name / "t.csv", rows), tmp_path)
    assert steps["corpus"]["source"]["columns"]["text"]["column"] == "on"
    assert steps["champion"]["gate"]["head"] == "y"


def test_a_small_corpus_is_split_so_that_every_split_has_records_and_training_sees_every_class(tmp_path: Path) -> None:
    seen = survey(classes(tmp_path, [f"c{number}" for number in range(6)], number=2))
    plan = choose(seen)
    assert plan.unseen == ()
    assert all(plan.counts[split] for split in ("train", "val", "test"))
    assert plan.batch_size == 4


def test_too_little_to_train_on_is_noted(tmp_path: Path) -> None:
    seen = survey(classes(tmp_path, number=2))
    (note,) = choose(seen).notes
    assert note.endswith("records to train on are too few, 4 are the least; add data before running")
    assert f"# Note: {note}." in written(tmp_path, tmp_path)[0]


def test_classes_that_only_the_test_folder_has_are_left_out_by_the_recipe(tmp_path: Path) -> None:
    classes(tmp_path, ["a", "b"], prefix="train__", number=8)
    classes(tmp_path, ["a", "c"], prefix="test__", number=4)
    assert written(tmp_path, tmp_path)[1]["shards"]["unseen_labels"] == "drop"


def test_every_modality_can_be_looked_at_and_has_an_encoder() -> None:
    assert set(MEASURES) == set(READINGS) == set(ENCODER) == set(MODALITIES)
    assert set(ENCODER.values()) <= set(ENCODERS)


def test_large_pictures_are_stored_smaller_and_read_at_a_size_a_cpu_can_bear() -> None:
    reading = examine("image", [Locator(inline=picture(1, (900, 600)))] * 3, 3)
    assert (reading.prepare, reading.read) == ({"max_side": 256}, {"size": [128, 128]})


def test_members_that_cannot_be_read_are_counted() -> None:
    reading = examine("audio", [Locator(inline=sound(1)), Locator(inline=b"nothing"), Locator(uri="/nowhere.wav")], 3)
    assert reading.unreadable == 2
    assert reading.read["rate_hz"] == 8000
