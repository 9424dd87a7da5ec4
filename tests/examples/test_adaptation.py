"""The recipe with a new speaker: who trains with digits, who without, and who is asked."""

from __future__ import annotations

import importlib
import io
import wave
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks.adaptation import RECIPE, document, method_of
from benchmarks.trainings import train_config
from pipeline import recipe
from tasks.errors import SourceError
from tests.examples.conftest import EXAMPLES, on_path

SPEAKERS = ("ada", "bo")
TAKES = 20


@pytest.fixture(scope="module")
def module() -> Iterator[ModuleType]:
    with on_path(EXAMPLES / "adaptation"):
        yield importlib.import_module("new_speaker")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers who say two digits twenty times."""
    path = tmp_path_factory.mktemp("archive") / "small.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number, (speaker, digit, take) in enumerate((s, d, t) for s in SPEAKERS for d in range(2) for t in range(TAKES)):
            data = io.BytesIO()
            with wave.open(data, "wb") as file:
                file.setnchannels(1)
                file.setsampwidth(2)
                file.setframerate(8000)
                file.writeframes(number.to_bytes(2, "little") * 100)
            archive.writestr(f"master/recordings/{digit}_{speaker}_{take}.wav", data.getvalue())
    return path


def source(module: ModuleType, archive: Path, new: str = "bo") -> Any:
    kind = module.NewSpeakerSource
    return kind(kind.Config(format="new_speaker:NewSpeakerSource", archive=archive.name, new=new), archive.parent)


def test_training_hears_the_new_speaker_without_digits_and_test_hears_other_takes(module: ModuleType, small: Path, tmp_path: Path) -> None:
    given = source(module, small)
    records = list(given.records(tmp_path))
    assert Counter((record.labels["speaker"], record.split, "digit" in record.labels) for record in records) == {
        ("ada", "train", True): 36,
        ("ada", "val", True): 4,
        ("bo", "train", False): 20,
        ("bo", "test", True): 20,
    }
    assert given.snapshot()["records"] == len({record.key for record in records}) == 80
    sounds = (tmp_path / "sounds.bin").read_bytes()
    with zipfile.ZipFile(small) as archive:
        for record in records:
            speaker, digit, take = record.key.split("-")
            place = record.members["audio"]
            published = archive.read(f"master/recordings/{digit}_{speaker}_{int(take)}.wav")
            assert sounds[place.offset : place.offset + place.length] == published
            assert record.labels.get("digit", digit) == digit


def test_a_speaker_or_an_archive_that_is_not_there_is_named(module: ModuleType, small: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"new: .* has no 'bob'; its speakers are ada, bo; did you mean 'bo'"):
        source(module, small, new="bob").snapshot()
    with pytest.raises(SourceError, match=r"gone.zip is not there. .*--set steps.corpus.source.archive=PATH"):
        source(module, tmp_path / "gone.zip").snapshot()


def test_the_recipe_trains_every_method_on_every_speaker_and_differs_in_objectives_alone() -> None:
    steps = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["steps"]
    objectives = steps["model"]["matrix"]["model.objectives"]
    methods = {method_of(each): train_config(steps["model"], {"objectives": each}).model_dump() for each in objectives}
    assert list(methods) == ["none", "domain_adversarial", "domain_coral"]
    for config in methods.values():
        config["model"].pop("objectives", None)
        assert config == methods["none"]
    assert recipe.load(RECIPE).name == "adaptation"


def test_numbers_are_means_over_speakers_and_differences_are_paired() -> None:
    found = {"none": {"a": [0.5, 0.7], "b": [0.8, 0.8]}, "domain_coral": {"a": [0.7, 0.7], "b": [0.9, 0.9]}}
    ratios = document(found)["ratios"]
    assert ratios["none_accuracy"]["median"] == pytest.approx(0.7)
    gained = ratios["domain_coral_minus_none"]
    assert gained["median"] == pytest.approx(0.1)
    assert gained["high"] - gained["low"] == pytest.approx(0, abs=1e-9)
    reach = 12.7062 * np.std([0.6, 0.8], ddof=1) / np.sqrt(2)  # Student's t with one degree of freedom
    assert ratios["none_accuracy"]["high"] == pytest.approx(0.7 + reach, rel=1e-4)
