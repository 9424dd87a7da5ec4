from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import wave
import zipfile
from collections import Counter, defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.errors import SourceError
from tasks.shards.verify import verify
from tests.conftest import ROOT
from tests.examples.conftest import EXAMPLES

FSDD = EXAMPLES.parent.parent / "shared" / "data" / "fsdd.zip"
SPEAKERS = ("ada", "bo", "cy", "dee")


def recording(value: int) -> bytes:
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(value.to_bytes(2, "little") * 100)
    return data.getvalue()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four speakers who say each digit twice; the folder above `recordings` is what GitHub's download has."""
    path = tmp_path_factory.mktemp("archive") / "small.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("free-spoken-digit-dataset-master/README.md", "about")
        for number, (speaker, digit, take) in enumerate((s, d, t) for s in SPEAKERS for d in range(10) for t in range(2)):
            archive.writestr(f"free-spoken-digit-dataset-master/recordings/{digit}_{speaker}_{take}.wav", recording(number))
    return path


def source(module: ModuleType, archive: Path, **config: Any) -> Any:
    chosen = {"test_speakers": ("cy", "dee"), "val_speakers": ("bo",)} | config
    kind = module.SpokenDigitsSource
    return kind(kind.Config(format="spoken_corpus:SpokenDigitsSource", archive=archive.name, **chosen), archive.parent)


def test_speakers_and_pictures_are_in_one_split_each(spoken_digits: ModuleType, small: Path, tmp_path: Path) -> None:
    records = list(source(spoken_digits, small).records(tmp_path))
    speakers, pictures = defaultdict(set), defaultdict(set)
    for record in records:
        speakers[record.split].add(record.key.partition("-")[0])
        pictures[record.group].add(record.split)
    assert speakers == {"train": {"ada"}, "val": {"bo"}, "test": {"cy", "dee"}}
    assert all(len(splits) == 1 for splits in pictures.values())
    assert Counter(record.split for record in records) == {"train": 60, "val": 20, "test": 40}
    assert len({record.key for record in records}) == len(records)


def test_a_record_holds_its_recording_unchanged(spoken_digits: ModuleType, small: Path, tmp_path: Path) -> None:
    records = list(source(spoken_digits, small).records(tmp_path))
    sounds = (tmp_path / "sounds.bin").read_bytes()
    with zipfile.ZipFile(small) as archive:
        for record in records:
            speaker, digit, take, _ = record.key.split("-")
            place = record.members["audio"]
            published = archive.read(f"free-spoken-digit-dataset-master/recordings/{digit}_{speaker}_{int(take)}.wav")
            assert sounds[place.offset : place.offset + place.length] == published
            assert record.labels == {"digit": digit}


def test_pictures_show_the_digit_that_is_said(spoken_digits: ModuleType, small: Path, tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    truth = load_digits().target
    for record in source(spoken_digits, small).records(tmp_path):
        assert record.labels["digit"] == str(truth[int(record.group.removeprefix("picture-"))])


def test_two_builds_are_the_same_bytes(spoken_digits: ModuleType, small: Path, tmp_path: Path) -> None:
    builds = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        records = list(source(spoken_digits, small).records(tmp_path / name))
        builds.append((records, [path.read_bytes() for path in sorted((tmp_path / name).iterdir())]))
    assert builds[0] == builds[1]


def test_a_snapshot_counts_what_will_come_and_notices_another_archive(spoken_digits: ModuleType, small: Path, tmp_path: Path) -> None:
    snapshot = source(spoken_digits, small).snapshot()
    assert snapshot["records"] == 120
    other = tmp_path / "small.zip"
    with zipfile.ZipFile(small) as before, zipfile.ZipFile(other, "w") as after:
        for name in before.namelist():
            after.writestr(name, before.read(name).replace(b"\x01", b"\x02"))
    assert source(spoken_digits, other).snapshot()["digest"] != snapshot["digest"]


def test_a_missing_archive_says_where_to_get_it(spoken_digits: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"fsdd\.zip is not there.*github\.com/Jakobovski/free-spoken-digit-dataset.*--set"):
        source(spoken_digits, tmp_path / "fsdd.zip").snapshot()


@pytest.mark.parametrize(("content", "says"), [(b"no zip", "not a zip file"), (None, "holds no recordings")])
def test_a_file_that_is_something_else_is_named(spoken_digits: ModuleType, tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "fsdd.zip"
    if content is None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("other.txt", "x")
    else:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=says):
        source(spoken_digits, path).snapshot()


def test_an_unknown_speaker_gets_the_closest_name(spoken_digits: ModuleType, small: Path) -> None:
    with pytest.raises(SourceError, match=r"test_speakers: .* has no 'deee'; its speakers are ada, bo, cy, dee; did you mean 'dee'\?"):
        source(spoken_digits, small, test_speakers=("deee",)).snapshot()


def test_holding_out_everybody_is_refused(spoken_digits: ModuleType, small: Path) -> None:
    with pytest.raises(SourceError, match="leave one of ada, bo, cy, dee for training"):
        source(spoken_digits, small, test_speakers=("ada", "cy", "dee")).snapshot()


def test_a_speaker_in_two_splits_is_refused(spoken_digits: ModuleType, small: Path) -> None:
    with pytest.raises(ValidationError, match="bo cannot be in test_speakers and in val_speakers"):
        source(spoken_digits, small, test_speakers=("bo",))


def test_both_recipes_share_one_file() -> None:
    shared = [EXAMPLES / recipe / "digit_pairs.py" for recipe in ("digits", "spoken_digits")]
    assert shared[0].read_bytes() == shared[1].read_bytes()


@pytest.mark.skipif(not FSDD.is_file(), reason="needs the Free Spoken Digit Dataset as ../shared/data/fsdd.zip beside the repository")
def test_the_real_recordings_make_a_corpus_that_holds_two_speakers_out(spoken_digits: ModuleType, tmp_path: Path) -> None:
    kind = spoken_digits.SpokenDigitsSource
    real = kind(kind.Config(format="spoken_corpus:SpokenDigitsSource", archive=str(FSDD)), EXAMPLES / "spoken_digits")
    snapshot, records = real.snapshot(), list(real.records(tmp_path))
    assert snapshot["records"] == len(records)
    assert snapshot["bytes"] == pytest.approx(sum(path.stat().st_size for path in tmp_path.iterdir()), rel=0.01)
    assert Counter(record.split for record in records) == {"train": 4500, "val": 500, "test": 1000}
    speakers = defaultdict(set)
    for record in records:
        speakers[record.split].add(record.key.partition("-")[0])
    assert speakers == {"train": {"george", "jackson", "lucas"}, "val": {"nicolas"}, "test": {"theo", "yweweler"}}
    assert len({(record.members["audio"].offset) for record in records}) == 3000


@pytest.mark.skipif(not FSDD.is_file(), reason="needs the Free Spoken Digit Dataset as ../shared/data/fsdd.zip beside the repository")
@pytest.mark.ray
def test_the_recipe_runs_on_a_part_of_the_real_recordings(tmp_path: Path) -> None:
    options = ["--set", f"steps.corpus.source.archive={FSDD}", "--limit", "400", "--set", "steps.model.epochs=1"]
    command = [sys.executable, "-P", "-m", "pipeline", "run", str(EXAMPLES / "spoken_digits" / "recipe.yaml"), *options]
    command += ["--store", str(tmp_path / "store"), "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stderr  # the gate may find one epoch over so few samples too little
    steps = json.loads(done.stdout)["steps"]
    decision = "ran" if done.returncode == 0 else "refused"
    assert {name: step["status"] for name, step in steps.items()} == {
        **dict.fromkeys(["corpus", "shards", "model", "report", "version"], "ran"),
        "champion": decision,
    }
    ledger = steps["shards"]["summary"]["ledger"]
    assert ledger["in"] == steps["corpus"]["summary"]["records"] == 400
    assert ledger["in"] == sum(number for name, number in ledger.items() if name != "in")
    assert steps["shards"]["summary"]["samples"] == ledger["written"] > 0
    assert sorted(steps["report"]["summary"]["heads"]["digit"]["by_modalities"]) == ["audio", "audio+image", "image"]
    assert verify(Path(steps["shards"]["artifact"])) == []
