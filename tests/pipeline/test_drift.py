"""`medley drift` as a user types it: on a store with shards, a model, a version and an alias, and on a recipe."""

from __future__ import annotations

import base64
import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline import forget, gc, recipe, runner
from pipeline import graph as graphs
from pipeline import plan as plans
from pipeline.drift import SAMPLES, DriftLevel, drift_level
from pipeline.errors import NotFound
from pipeline.executors import in_process
from pipeline.store import LocalStore
from tasks.drift import sketch
from tasks.drift.embeddings import write_embeddings
from tasks.errors import InputError
from tasks.modalities import MODALITIES
from tasks.models.load import load_model
from tasks.promotions import Decision, append
from tasks.shards.read import ShardSet
from tests.pipeline.test_cli import call
from tests.tasks.evaluation.artifacts import make_model
from tests.tasks.evaluation.example import picture
from tests.tasks.shards.corpora import Record, make_shards, write_corpus

CORPUS, SHARDS, OTHERS, MODEL, REPORT = "c0" * 32, "5a" * 32, "5b" * 32, "3d" * 32, "7e" * 32
WORDS = ("owl", "heron", "maple", "river", "night", "forest", "stone", "lighthouse")


def sentence(seed: int) -> str:
    chosen = np.random.default_rng(seed).choice(WORDS, 5)
    return f"The {chosen[0]} and the {chosen[1]} are by the {chosen[2]} with {chosen[3]} or {chosen[4]}."


def russian(seed: int) -> str:
    return " ".join(np.random.default_rng(seed).choice(["сова", "лес", "ночь", "река", "и", "в", "на", "это", "она"], 7))


def record(number: int, split: str) -> Record:
    digit = number % 10
    seed = number + (5000 if split == "test" else 0)  # no sample twice: one of two equal ones would be left out
    members: dict[str, bytes | None] = {"image": picture(digit, seed), "text": sentence(seed).encode()}
    return Record(f"{split}{number:04d}", members, split, {"digit": str(digit)})


def publish(store: LocalStore, folder: Path, key: str, kind: str, step: str, inputs: dict[str, str]) -> Path:
    made = store.scratch()
    shutil.copytree(folder, made)
    store.publish_artifact(made, {"key": key, "kind": kind, "step": step, "recipe": "owls", "summary": {}, "inputs": inputs})
    return store.artifact_path(key)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a store: a corpus, its shards, shards that were prepared otherwise, a model, version 1 of `owls`, champion."""
    folder = tmp_path_factory.mktemp("drift")
    store = LocalStore.open(folder / "store")
    records = [record(number, split) for split, count in (("train", 200), ("test", 90)) for number in range(count)]
    corpus = write_corpus(folder / "corpus", records)
    publish(store, corpus.path, CORPUS, "corpus", "corpus", {})
    sizes = {"min_records": 200, "max_records": 400}
    made = folder / "shards"
    make_shards(made, corpus, store, prepare={"image": {}, "text": {}}, fit={"text": {"tokenizer": "byte"}}, sizes=sizes)
    publish(store, made, SHARDS, "shards", "shards", {"corpus": CORPUS})
    meta = json.loads((made / "shards.json").read_bytes())
    meta["prepare"]["image"]["max_side"] = 6
    (made / "shards.json").write_text(json.dumps(meta))
    publish(store, made, OTHERS, "shards", "shards", {"corpus": CORPUS})
    shards = ShardSet.open(store.artifact_path(SHARDS))
    model = make_model(folder / "model", shards, ("image", "text"), ("digit",), seed=0)
    publish(store, model.path, MODEL, "model", "model", {"shards": SHARDS})
    version = {"name": "owls", "version": "1", "model_key": MODEL, "tags": {"medley.shards_key": SHARDS}}
    store.create("versions/owls/1.json", json.dumps(version).encode())
    append(store, "owls", Decision(action="promoted", alias="champion", version="1", model_key=MODEL))
    return store.root


@pytest.fixture
def store(place: Path, tmp_path: Path) -> LocalStore:
    """A copy of it, so that a test may keep sketches in it or damage them."""
    shutil.copytree(place, tmp_path / "store", ignore=shutil.ignore_patterns("sketches"))
    return LocalStore(tmp_path / "store")


def media(folder: Path, count: int, text: Any = sentence, dark: bool = False) -> Path:
    """Raw files of new samples, side by side."""
    folder.mkdir()
    for number in range(30_000, 30_000 + count):
        data = picture(number % 10, number)
        if dark:
            import io

            from PIL import Image

            buffer = io.BytesIO()
            Image.fromarray((np.asarray(Image.open(io.BytesIO(data))) * 0.4).astype(np.uint8)).save(buffer, "PNG")
            data = buffer.getvalue()
        (folder / f"{number}.png").write_bytes(data)
        (folder / f"{number}.txt").write_text(text(number), encoding="utf-8")
    return folder


def log(path: Path, count: int, text: Any = sentence) -> Path:
    lines = [
        {
            "time": f"2026-03-{1 + number % 28:02d}T09:30:00Z",
            "members": {
                "image": {"base64": base64.b64encode(picture(number % 10, 20_000 + number)).decode()},
                "text": {"text": text(20_000 + number)},
            },
        }
        for number in range(count)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


# ---- what is compared with what ----


def test_a_champion_beside_new_files_that_are_like_the_old_ones_is_quiet(
    store: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "drift", "owls@champion", "--store", store.root, "--against", media(tmp_path / "new", 90))
    assert (code, err) == (0, "")
    assert out.startswith("Nothing moved\n")
    assert "90 samples of" in out
    assert "beside 200 of owls@champion, version 1" in out


def test_darkened_pictures_are_drift_with_exit_code_3_in_words_in_json_and_on_a_page(
    store: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new, page = media(tmp_path / "new", 90, dark=True), tmp_path / "page.html"
    code, out, _ = call(capsys, "drift", "owls@champion", "--store", store.root, "--against", new, "--page", page)
    assert code == 3
    assert "Image moved; text did not" in out
    assert "brightness fell from" in out
    assert "Image moved" in page.read_text(encoding="utf-8")
    code, out, _ = call(capsys, "drift", "models:/owls/1", "--store", store.root, "--against", new, "--json")
    document = json.loads(out)
    assert code == 3
    assert (document["drifted"], document["moved"]) == (True, ["image"])
    features = {test["feature"]: test for test in document["groups"]["image"]["tests"]}
    assert features["image.brightness"]["moved"]
    assert features["image.embedding"]["details"]["frechet"] > 0
    assert features["image.embedding"]["psi"] is None
    assert document["new"] | {"name": ""} == {"name": "", "kind": "source", "samples": 90, "split": "train"}


def test_logged_requests_in_another_language_move_the_text(store: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = log(tmp_path / "requests.jsonl", 80, russian)
    code, out, _ = call(capsys, "drift", "owls@champion", "--store", store.root, "--against", path, "--json", "--no-embeddings")
    document = json.loads(out)
    assert (code, document["moved"]) == (3, ["text"])
    assert document["new"]["first"] == "2026-03-01T09:30:00+00:00"
    code, out, _ = call(capsys, "drift", "owls@champion", "--store", store.root, "--against", log(path, 80), "--no-embeddings")
    assert (code, out.partition("\n")[0]) == (0, "Nothing moved")


def test_requests_before_a_time_and_other_modalities_are_left_out(
    store: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--no-embeddings", "--json", "--since", "2026-03-15", "--modalities", "image"]
    path = log(tmp_path / "requests.jsonl", 80, russian)
    code, out, _ = call(capsys, "drift", "owls@champion", "--store", store.root, "--against", path, *options)
    document = json.loads(out)
    assert (code, document["moved"], document["new"]["first"]) == (0, [], "2026-03-15T09:30:00+00:00")
    assert list(document["groups"]) == ["image"]


@pytest.mark.parametrize("split", ["", "test"])
def test_splits_of_the_same_shards_and_their_corpus_are_quiet(place: Path, split: str, capsys: pytest.CaptureFixture[str]) -> None:
    store = LocalStore(place)
    options = ["--against-split", split] if split else []
    code, out, err = call(capsys, "drift", store.artifact_path(SHARDS), "--against", store.artifact_path(SHARDS), *options)
    assert (code, out.partition("\n")[0], err) == (0, "Nothing moved", "")
    assert "90 samples of artifact 5a5a5a5a5a5a beside 200 of artifact 5a5a5a5a5a5a" in out
    code, out, err = call(capsys, "drift", store.artifact_path(SHARDS), "--against", store.artifact_path(CORPUS))
    assert (code, out.partition("\n")[0]) == (0, "Nothing moved")
    assert "200 samples of the new data are the reference's own, which hides drift" in err


def test_a_recipe_stands_for_its_shards_and_names_other_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    media(tmp_path / "media", 200)
    text = (
        "name: owls\nstore: store\nsteps:\n"
        "  corpus: {task: ingest, source: {format: folder, path: media}, split: {test: 0.4}}\n"
        "  shards: {task: shard, corpus: corpus, prepare: {image: {}, text: {}}, fit: {text: {tokenizer: byte}}}\n"
        "  others: {task: shard, corpus: corpus, prepare: {text: {}}, fit: {text: {tokenizer: byte}}}\n"
    )
    path = tmp_path / "recipe.yaml"
    path.write_text(text, encoding="utf-8")
    code, _, err = call(capsys, "drift", path, "--against", "shards", "--step", "shards")
    assert code == 2
    assert "the step 'shards' of" in err
    assert f"first: medley run {path} --until shards" in err
    loaded = recipe.load(path)
    runner.run(plans.make(graphs.build(loaded), LocalStore.open(tmp_path / "store"), "shards"), in_process, runner.Options())
    code, out, err = call(capsys, "drift", path, "--against", "shards", "--step", "shards")
    assert (code, out.partition("\n")[0]) == (0, "Nothing moved"), err
    code, _, err = call(capsys, "drift", path, "--against", "shards")
    assert (code, "has 2 shard steps (shards, others); say with --step" in err) == (2, True)
    code, _, err = call(capsys, "drift", path, "--step", "shards", "--against", "shord")
    assert (code, "steps of the recipe: corpus, shards, others; did you mean 'shards'?" in err) == (2, True)


# ---- sketches ----


def test_a_sketch_is_made_once_and_kept_under_the_key_of_the_shards(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    against = str(media(tmp_path / "new", 60))
    first = drift_level(store, "owls@champion", against)
    assert store.list("sketches") == [f"sketches/{SHARDS}/raw-1-train-1000.npz"]
    monkeypatch.setattr("pipeline.sketches._of_shards", lambda *_: pytest.fail("made again"))
    assert drift_level(store, "owls@champion", against) == first


def test_what_the_report_kept_of_the_model_is_not_made_again(store: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verb = ["drift", "owls@champion", "--store", store.root, "--against", media(tmp_path / "new", 60), "--split", "test", "--json"]
    made = json.loads(call(capsys, *verb)[1])
    (embedding,) = [name for name in store.list("sketches") if "embedding" in name]
    store.delete(embedding)
    report = tmp_path / "report"
    report.mkdir()
    write_embeddings(report, load_model(store.artifact_path(MODEL)), ShardSet.open(store.artifact_path(SHARDS)), "test")
    facts = {"split": "test", "shards": {"key": SHARDS}, "model": {"key": MODEL}}
    (report / "report.json").write_text(json.dumps(facts))
    publish(store, report, REPORT, "report", "report", {"model": MODEL, "shards": SHARDS})
    version = json.loads(store.read("versions/owls/1.json")) | {"report_key": REPORT}
    store.delete("versions/owls/1.json")
    store.create("versions/owls/1.json", json.dumps(version).encode())
    again = json.loads(call(capsys, *verb)[1])
    assert not [name for name in store.list("sketches") if "embedding" in name], "it was taken from the report"
    assert again["groups"] == made["groups"]


def test_a_sketch_has_so_many_samples_wherever_it_is_made() -> None:
    assert SAMPLES == sketch.SAMPLES


def test_a_damaged_sketch_is_named_and_made_anew_once_it_is_deleted(
    store: LocalStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verb = ["drift", "owls@champion", "--store", store.root, "--against", media(tmp_path / "new", 60), "--no-embeddings"]
    assert call(capsys, *verb)[0] == 0
    (name,) = store.list("sketches")
    store.local_path(name).chmod(0o644)
    store.local_path(name).write_bytes(b"damaged")
    code, _, err = call(capsys, *verb)
    assert code == 1
    assert f"{name} is damaged" in err
    store.delete(name)
    assert call(capsys, *verb)[0] == 0


def test_forgetting_a_sample_takes_the_sketches_it_may_be_in(store: LocalStore, tmp_path: Path) -> None:
    drift_level(store, "owls@champion", str(media(tmp_path / "new", 60)))
    assert f"sketches/{SHARDS}/raw-1-train-1000.npz" in forget.survey(store, ["train0007"]).leftovers
    forget.forget(store, ["train0007"], "they asked")
    assert store.list("sketches") == []


def test_sketches_of_shards_that_are_gone_are_garbage_and_others_are_not(store: LocalStore, tmp_path: Path) -> None:
    drift_level(store, "owls@champion", str(media(tmp_path / "new", 60)))
    assert not [item for item in gc.survey(store, grace_s=0).garbage if item.what == "sketch"]
    store.remove_artifact(SHARDS)
    assert [item.name for item in gc.survey(store, grace_s=0).garbage if item.what == "sketch"] == [f"sketches/{SHARDS}"]
    gc.collect(store, grace_s=0)
    assert store.list("sketches") == []


def test_the_level_for_a_schedule_is_plain_data_and_says_what_moved_most(place: Path, tmp_path: Path) -> None:
    store = LocalStore(place)
    still = drift_level(store, "owls@champion", str(media(tmp_path / "same", 60)))
    assert still == DriftLevel(0.0, False, "", "Nothing moved.")
    moved = drift_level(store, "owls@champion", str(media(tmp_path / "other", 60, russian)))
    assert (moved.significant, moved.modality) == (True, "text")
    assert moved.effect > 0.25
    assert moved.about.startswith("Text moved (large): ")
    assert json.loads(json.dumps(asdict(moved))) == asdict(moved)


# ---- what cannot be compared ----


def test_shards_of_another_preparation_are_refused_with_what_differs(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = LocalStore(place)
    code, out, err = call(capsys, "drift", "owls@champion", "--store", place, "--against", store.artifact_path(OTHERS))
    assert (code, out) == (2, "")
    assert "its image was prepared otherwise than the reference's (max_side: None there, 6 here)" in err
    code, out, _ = call(
        capsys,
        "drift",
        "owls@champion",
        "--store",
        place,
        "--against",
        store.artifact_path(OTHERS),
        "--modalities",
        "text",
        "--no-embeddings",
    )
    assert code == 0


def test_too_few_samples_are_refused_with_how_many_it_takes(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "drift", "owls@champion", "--store", place, "--against", media(tmp_path / "new", 12))
    assert code == 2
    assert "the new data have 12 independent samples; a comparison takes 30 of each side" in err


def test_new_data_without_a_modality_are_drift_of_it_unless_others_alone_are_asked_for(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    new = media(tmp_path / "new", 60)
    for path in new.glob("*.png"):
        path.unlink()
    verb = ["drift", "owls@champion", "--store", place, "--against", new, "--no-embeddings"]
    code, out, _ = call(capsys, *verb)
    assert code == 3
    assert "Image moved (large): presence: there from 100.0\u202f% to 0.0\u202f%" in out
    assert call(capsys, *verb, "--modalities", "text")[0] == 0
    code, _, err = call(capsys, *verb, "--modalities", "image")
    assert (code, "nothing in common to compare" in err) == (2, True)


def test_files_that_cannot_be_used_are_counted_and_named(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new = media(tmp_path / "new", 60)
    (new / "30007.png").write_bytes(b"no picture")
    code, _, err = call(capsys, "drift", "owls@champion", "--store", place, "--against", new, "--no-embeddings")
    assert code == 0
    assert "the new data: 1 of the chosen samples have a member that cannot be used, such as 30007: image: image/format" in err


def test_a_bad_line_of_a_log_is_told_with_its_number(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = log(tmp_path / "requests.jsonl", 40)
    path.write_text(path.read_text(encoding="utf-8") + '{"time": "noon", "members": {"text": {"text": "a"}}}\n', encoding="utf-8")
    code, out, _ = call(capsys, "drift", "owls@champion", "--store", place, "--against", path, "--json")
    document = json.loads(out)
    assert (code, document["error"]["exit_code"]) == (2, 2)
    assert f"{path}:41: time: " in document["error"]["messages"][0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["owls@challenger", "--against", "x"], "names no version now; aliases in force: owls@best, owls@champion"),
        (["owls/9", "--against", "x"], "has no version 9 of 'owls'"),
        (["models:/owls/9", "--against", "x"], "has no version 9 of 'owls'; it has: 1; the newest is owls/1"),
        (["nowhere", "--against", "x"], "is no recipe, no folder of shards"),
        (["owls@champion", "--against", "nowhere"], "--against nowhere: not there; give a folder of media"),
        (["owls@champion", "--against", ".", "--alpha", "0.9"], "--alpha is 0.9"),
        (["owls@champion", "--against", ".", "--samples", "3"], "--samples is 3; a sketch holds 30 to 20000"),
        (
            ["owls@champion", "--against", ".", "--modalities", "txt"],
            "--modalities txt: the reference has image, text; did you mean 'text'",
        ),
        (["owls@champion", "--against", ".", "--since", "noon"], "--since noon: not a time; write it as 2026-03-01"),
        (["owls@champion", "--against", "x.bin"], "is a file and no table"),
    ],
)
def test_a_wrong_word_is_explained(
    place: Path, tmp_path: Path, words: list[str], message: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.bin").write_bytes(b"x")
    code, out, err = call(capsys, "drift", *words, "--store", place)
    assert (code, out) == (2, "")
    assert message in err


def test_a_split_that_is_not_there_is_refused(place: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no samples of split 'val'; it has train, test"):
        drift_level(LocalStore(place), "owls@champion", str(media(tmp_path / "new", 60)), split="val")


def test_a_medium_whose_code_is_not_here_is_named(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.modalities.MODALITIES", {name: entry for name, entry in MODALITIES.items() if name != "image"})
    with pytest.raises(InputError, match=r"the reference's image is a medium of your own.*or compare text alone with --modalities"):
        drift_level(LocalStore(place), "owls@champion", str(log(tmp_path / "requests.jsonl", 5)))


def test_shards_that_a_version_came_from_and_that_are_gone_are_named(store: LocalStore, tmp_path: Path) -> None:
    store.remove_artifact(SHARDS)
    with pytest.raises(NotFound, match=r"models:/owls/1 was trained on the shards 5a5a5a5a5a5a, which are not in the store"):
        drift_level(store, "owls@champion", str(media(tmp_path / "new", 60)))
