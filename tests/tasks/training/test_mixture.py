"""Training on several shard sets: exact resume, what one set lacks is missing, and whose fits and classes hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline.store import LocalStore
from tasks.contracts import Artifact
from tasks.errors import InputError, LabelError, Stopped
from tasks.shards.joined import Joined, open_shards
from tasks.shards.read import ShardSet
from tasks.shards.shares import Share
from tasks.train import TrainConfig, estimate, lint, train
from tasks.training.channel import Journal
from tasks.training.loop import train_model
from tasks.training.ranks import Ranks
from tasks.training.run import Job, start
from tests.tasks.shards.corpora import Record, Recorder, make_shards, write_corpus
from tests.tasks.training.example import config, context, digest, final_weights, picture, write_shards

MIXTURE = [{"weight": 2}, {"weight": 1}]


def pictures(count: int = 24, **changes: Any) -> list[Record]:
    """Dark and light pictures without sounds, words or heights; all of them train."""
    shades = changes.pop("shades", ["dark", "light"])
    return [
        Record(f"p{number:03d}", {"image": picture(60 + 120 * (number % 2), 500 + number)}, "train", {"shade": shades[number % 2]})
        for number in range(count)
    ]


def write(folder: Path, given: list[Record], step: str, **settings: Any) -> Artifact:
    corpus = write_corpus(folder / "corpus", given, label_kinds=settings.pop("label_kinds", None))
    make_shards(folder / "made", corpus, LocalStore(folder / "store"), **{"prepare": {"image": {}}, **settings})
    return Artifact("shards", "7" * 64, folder / "made", step=step)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[Artifact]:
    folder = tmp_path_factory.mktemp("mixture")
    first = write_shards(folder / "first")
    return [Artifact("shards", first.key, first.path, step="ours"), write(folder / "second", pictures(), "found")]


def mixed(**changes: Any) -> TrainConfig:
    return config(**{"mixture": MIXTURE, **changes})


def job(sets: list[Artifact], work_dir: Path, chosen: TrainConfig | None = None) -> Job:
    work_dir.mkdir(exist_ok=True)
    first, *others = (each.path for each in sets)
    return Job(chosen or mixed(), first, work_dir, seed=7, others=tuple(others))


def run(chosen: TrainConfig, sets: list[Artifact], folder: Path, sink: Recorder | None = None) -> dict[str, Any]:
    (folder / "out").mkdir(parents=True, exist_ok=True)
    return train(chosen, {f"shards[{number}]": each for number, each in enumerate(sets)}, folder / "out", context(folder, sink=sink))


@pytest.fixture(scope="module")
def whole(sets: list[Artifact], tmp_path_factory: pytest.TempPathFactory) -> Path:
    work_dir = tmp_path_factory.mktemp("whole")
    train_model(job(sets, work_dir), Ranks())
    return work_dir


@pytest.mark.parametrize("step", [3, 14])
def test_a_stopped_training_on_two_sets_goes_on_and_ends_with_the_same_weights(
    sets: list[Artifact], tmp_path: Path, whole: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = iter(range(1, 1000))
    with monkeypatch.context() as patch:
        patch.setattr(Journal, "stop_requested", lambda self: next(asked) == step)
        with pytest.raises(Stopped):
            train_model(job(sets, tmp_path), Ranks())
    train_model(job(sets, tmp_path), Ranks())
    assert digest(final_weights(tmp_path)) == digest(final_weights(whole))


def test_a_batch_takes_of_both_sets_and_what_a_set_lacks_is_missing(sets: list[Artifact], tmp_path: Path) -> None:
    batches = list(start(job(sets, tmp_path), Ranks()).train.epoch(0))
    assert len(batches) == (66 + 24) // 8
    found = [key for batch in batches for key in batch.keys if key.startswith("p")]
    assert len(found) == pytest.approx(88 / 3, abs=1)
    for batch in batches:
        assert 2 <= sum(key.startswith("p") for key in batch.keys) <= 3
        audio, image, text = batch.present.T
        ours = torch.tensor([key.startswith("r") for key in batch.keys])
        assert batch.modalities == ("audio", "image", "text")
        assert not (audio & ~ours).any()
        assert not (text & ~ours).any()
        assert (image | ours).all()
        assert batch.labels["height"][~ours].isnan().all()
        assert set(batch.labels["shade"][~ours].tolist()) <= {0, 2}


def test_a_sample_read_twice_in_an_epoch_is_varied_anew(sets: list[Artifact], tmp_path: Path) -> None:
    chosen = mixed(mixture=[{"epochs": 1}, {"epochs": 3}], augment={"image": {"crop": [0.3, 1]}}, batch_size=6, streams=2)
    seen: dict[str, list[torch.Tensor]] = {}
    for batch in start(job(sets, tmp_path, chosen), Ranks()).train.epoch(0):
        for place, key in enumerate(batch.keys):
            seen.setdefault(key, []).append(batch.inputs["image"].values[place])
    again = [values for key, values in seen.items() if key.startswith("p")]
    assert len(again) == 24
    assert {len(values) for values in again} == {3}
    alike = sum(torch.equal(values[0], values[1]) for values in again)
    assert alike < 6, "of 24; two crops of so small a picture may be the same one"


def test_fits_and_classes_are_those_of_the_first_set_that_has_them(sets: list[Artifact], tmp_path: Path) -> None:
    given = pictures(48, shades=["light", "dark"])
    first = write(tmp_path / "first", [*given, Record("grey", {"image": picture(120, 0)}, "train", {"shade": "grey"})], "bare")
    sink = Recorder()
    summary = run(mixed(mixture=MIXTURE[::-1], select="last", epochs=1), [first, sets[0]], tmp_path / "run", sink)
    assert summary["val"] == {}, "the first set has no samples to validate on"
    folder = tmp_path / "run" / "out"
    assert (folder / "fits" / "image.json").read_bytes() == (first.path / "fits" / "image.json").read_bytes()
    assert (folder / "fits" / "image.json").read_bytes() != (sets[0].path / "fits" / "image.json").read_bytes()
    assert (folder / "fits" / "text.json").read_bytes() == (sets[0].path / "fits" / "text.json").read_bytes()
    assert json.loads((folder / "model.json").read_bytes())["labels"].keys() == {"shade", "height"}
    assert "the shards of 'bare' have no audio: it is missing in their samples" in sink.notes


def test_the_model_of_a_mixture_is_validated_on_the_first_set(sets: list[Artifact], tmp_path: Path) -> None:
    sink = Recorder()
    summary = run(mixed(epochs=1), sets, tmp_path, sink)
    assert set(summary["val"]) == {"shade", "height"}
    assert summary["steps"] == 11
    assert "the shards of 'found' have no label 'height': their samples count nothing for that head" in sink.notes


def test_classes_that_the_first_set_lacks_are_explained(sets: list[Artifact], tmp_path: Path) -> None:
    other = write(tmp_path / "other", pictures(shades=["dark", "black"]), "other")
    with pytest.raises(
        LabelError, match=r"'shade': the shards of 'other' have classes that those of 'ours' lack: black\. .*first in `shards:`"
    ):
        run(mixed(), [sets[0], other], tmp_path / "run")


def test_labels_of_another_kind_and_sets_that_are_too_small_are_refused(sets: list[Artifact], tmp_path: Path) -> None:
    numbers = write(tmp_path / "numbers", pictures(shades=[1.0, 2.0]), "numbers", label_kinds={"shade": "number"})
    with pytest.raises(LabelError, match="'shade' is a number in the shards of 'numbers' and a category in those of 'ours'"):
        run(mixed(), [sets[0], numbers], tmp_path / "run")
    few = write(tmp_path / "few", pictures(3), "few")
    with pytest.raises(InputError, match=r"'few' have 3 samples in the split 'train', and each of the 4 streams"):
        run(mixed(), [sets[0], few], tmp_path / "run")


def test_joined_sets_read_like_one_after_the_other(sets: list[Artifact]) -> None:
    joined = open_shards([each.path for each in sets], [Share(weight=1), Share(weight=1)])
    assert isinstance(joined, Joined)
    alone = [ShardSet.open(each.path) for each in sets]
    expected = [sample for each in alone for sample in each.samples("train", range(each.num_samples("train")))]
    assert joined.num_samples("train") == len(expected) == 90
    with pytest.raises(InputError, match="2 shard sets and 1 shares"):
        open_shards([each.path for each in sets], [Share(weight=1)])
    wanted = [80, 3, 66, 65, 3]
    assert list(joined.stream("train", wanted, modalities=joined.modalities)) == [expected[place] for place in wanted]
    assert joined.keys("train", np.array(wanted)) == [expected[place].key for place in wanted]
    present = joined.present("train")
    assert {name: there[wanted].tolist() for name, there in present.items()} == {
        name: [name in expected[place].members for place in wanted] for name in joined.modalities
    }
    assert list(joined.labels("train")["shade"][66:]) == list(alone[1].labels("train")["shade"])


def test_what_the_planner_knows_counts_all_sets() -> None:
    shards = {"records": 10, "bytes": 100, "splits": {"train": 8, "val": 2}}
    assert estimate(mixed(), Path(), {"shards[0]": shards, "shards[1]": shards}) == {"records": 18, "bytes": 180}
    assert estimate(mixed(), Path(), {"shards[0]": shards, "shards[1]": {}}) == {}

    class OnlyText:
        prepare = {"text": None}  # noqa: RUF012

    class Others:
        prepare = {"image": None, "audio": None}  # noqa: RUF012

    assert lint(mixed(), {"shards[0]": OnlyText(), "shards[1]": Others()}) == []
    assert "the shards are made without audio" in lint(mixed(), {"shards[0]": OnlyText()})[0]
