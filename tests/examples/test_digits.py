from __future__ import annotations

import hashlib
import importlib
import io
import json
import subprocess
import sys
import zipfile
from collections import Counter, defaultdict
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile
from PIL import Image

from tasks.contracts import SourceRecord
from tests.examples.conftest import EXAMPLES

Built = tuple[Path, list[SourceRecord]]


def build(digits: ModuleType, folder: Path, seed: int = 0) -> Built:
    folder.mkdir()
    source = digits.DigitsSource(digits.DigitsSource.Config(format="corpus:DigitsSource", seed=seed), EXAMPLES / "digits")
    return folder, list(source.records(folder))


@pytest.fixture(scope="module")
def built(digits: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(digits, tmp_path_factory.mktemp("digits") / "corpus")


@pytest.fixture(scope="module")
def archive(digits: ModuleType) -> zipfile.ZipFile:
    return zipfile.ZipFile(digits.VOICES)


def members(built: Built, modality: str) -> list[bytes]:
    folder, records = built
    data = (folder / records[0].members[modality].uri).read_bytes()
    places = [record.members[modality] for record in records]
    return [data[place.offset : place.offset + place.length] for place in places]


def test_every_picture_is_in_three_records_of_one_split(built: Built) -> None:
    splits = defaultdict(set)
    for record in built[1]:
        splits[record.group].add(record.split)
    assert len(splits) == 1797
    assert all(len(found) == 1 for found in splits.values())
    assert set(Counter(record.group for record in built[1]).values()) == {3}
    assert len({record.key for record in built[1]}) == len(built[1]) == 3 * 1797


def test_each_split_is_large_enough_and_has_its_share_of_each_digit(built: Built) -> None:
    counts = {split: Counter(r.labels["digit"] for r in built[1] if r.split == split) for split in ("train", "val", "test")}
    assert counts["test"].total() >= 1000
    assert 3000 <= counts["train"].total() <= 4500
    for split in counts.values():
        assert set(split) == set("0123456789")
        assert max(split.values()) < 1.15 * min(split.values())


def test_labels_are_those_of_scikit_learn(built: Built) -> None:
    from sklearn.datasets import load_digits

    truth = load_digits().target
    assert all(record.labels["digit"] == str(truth[int(record.group.removeprefix("picture-"))]) for record in built[1])


def test_the_members_fill_their_files_and_are_what_they_claim(built: Built) -> None:
    folder, records = built
    for modality, separators in (("image", 0), ("audio", 0), ("text", len(records))):
        locators = [record.members[modality] for record in records]
        size = (folder / locators[0].uri).stat().st_size
        assert sum(locator.length for locator in locators) + separators == size
        assert all(locator.size == size for locator in locators)
    pictures = [Image.open(io.BytesIO(data)) for data in members(built, "image")[::97]]
    assert {(picture.format, picture.mode, picture.size) for picture in pictures} == {("PNG", "L", (8, 8))}
    sounds = [soundfile.info(io.BytesIO(data)) for data in members(built, "audio")[::97]]
    assert {(sound.format, sound.subtype, sound.channels, sound.samplerate) for sound in sounds} == {("WAV", "PCM_16", 1, 8000)}
    assert (folder / "captions.txt").read_bytes().decode().splitlines() == [data.decode() for data in members(built, "text")]


def test_two_builds_are_the_same_bytes(digits: ModuleType, built: Built, tmp_path: Path) -> None:
    folder, records = built
    again, records_again = build(digits, tmp_path / "again")
    assert records_again == records
    for name in ("pictures.bin", "sounds.bin", "captions.txt"):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_another_seed_splits_and_draws_anew(digits: ModuleType) -> None:
    pairs, voices = importlib.import_module("digit_pairs"), importlib.import_module("digit_voices")
    shown = pairs.read_handwriting()[1]
    one, other = (pairs.deal_pictures(shown, digits.PICTURE_SHARES, seed) for seed in (0, 1))
    assert one["test"] != other["test"]
    assert len(one["test"]) == len(other["test"])
    assert set(voices.read_voices(digits.VOICES, 0)["test"]) != set(voices.read_voices(digits.VOICES, 1)["test"])
    assert pairs.stream(0, "pairing", 1).random() != pairs.stream(1, "pairing", 1).random() != pairs.stream(0, "pairing", 2).random()


def test_the_mask_is_one_block_of_forty_percent_of_the_cells(digits: ModuleType) -> None:
    pairs = importlib.import_module("digit_pairs")
    masks = [pairs.mask(pairs.stream(0, "test", number)) for number in range(4000)]
    for masked in masks[:500]:
        rows, columns = np.flatnonzero(masked.any(axis=1)), np.flatnonzero(masked.any(axis=0))
        assert masked[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        assert masked.sum() == len(rows) * len(columns) in (25, 28)
    assert np.mean(masks) == pytest.approx(0.4, abs=0.002)
    assert np.mean(masks, axis=0).min() > 0, "some cell is never masked"


def test_the_noise_on_pictures_has_a_standard_deviation_of_a_quarter(digits: ModuleType) -> None:
    pairs = importlib.import_module("digit_pairs")
    grey, paper = np.full((8, 8), 0.5), np.zeros((8, 8))
    noise = []
    for number in range(500):
        seen = pairs.degrade(grey, pairs.stream(0, number)).astype(float) / 255
        masked = pairs.mask(pairs.stream(0, number))
        noise.append(seen[~masked] - 0.5)
        # Masked cells are paper: the same noise on an empty page.
        assert np.array_equal(seen[masked] * 255, pairs.degrade(paper, pairs.stream(0, number))[masked])
    flat = np.concatenate(noise)
    # Cutting to 0..1 takes the tails beyond 2 sigma; the middle is untouched, and its quartiles lie at 0.674 sigma.
    assert np.quantile(flat, [0.25, 0.5, 0.75]) == pytest.approx([-0.1686, 0, 0.1686], abs=0.006)


def test_the_pictures_on_disk_are_masked_and_noisy(digits: ModuleType, built: Built) -> None:
    """A cell of full ink looks empty when it is masked (and noise stays below 2 sigma) or when noise falls below -2 sigma."""
    pairs = importlib.import_module("digit_pairs")
    clean = pairs.read_handwriting()[0]
    seen = np.array([np.asarray(Image.open(io.BytesIO(data))) for data in members(built, "image")]) / 255
    ink = np.array([clean[int(record.group.removeprefix("picture-"))] for record in built[1]]) == 1
    masked = np.mean([pairs.mask(pairs.stream(0, "test", number)) for number in range(4000)], axis=0)
    expected = 0.977 * masked + 0.023 * (1 - masked)
    expected_empty = float((expected * ink.sum(axis=0)).sum() / ink.sum())
    assert np.mean(seen[ink] < 0.5) == pytest.approx(expected_empty, abs=0.01)


def test_sounds_carry_as_much_noise_as_speech(digits: ModuleType, archive: zipfile.ZipFile) -> None:
    voices, pairs = importlib.import_module("digit_voices"), importlib.import_module("digit_pairs")
    for number, name in enumerate(name for name in archive.namelist()[::17] if name.endswith(".flac")):
        clean, _ = soundfile.read(io.BytesIO(archive.read(name)), dtype="int16")
        noisy = voices.add_noise(clean, pairs.stream(0, number)).astype(float)
        noise = noisy - clean
        ratio_db = 10 * np.log10(np.square(clean.astype(float)).sum() / np.square(noise).sum())
        assert ratio_db == pytest.approx(0, abs=0.01)
        assert np.abs(noisy).max() < 32767, "clipped"
        assert abs(np.corrcoef(noise[1:], noise[:-1])[0, 1]) < 5 / np.sqrt(len(noise)), "the noise is not white"


def test_no_voice_is_in_two_splits_and_each_split_hears_both_engines(digits: ModuleType, archive: zipfile.ZipFile) -> None:
    splits = importlib.import_module("digit_voices").read_voices(digits.VOICES, seed=0)
    clips = json.loads(archive.read("voices.json"))["clips"]
    names = [voice for voices in splits.values() for voice in voices]
    assert sorted(names) == sorted({clip["voice"] for clip in clips})
    assert set(splits) == {"train", "val", "test"}
    for voices in splits.values():
        assert {voice.partition("-")[0] for voice in voices} == {"espeak", "flite"}
        assert all(len(said) == 10 and min(len(variants) for variants in said.values()) >= 2 for said in voices.values())


def test_records_speak_with_voices_of_their_own_split(digits: ModuleType, built: Built) -> None:
    """A sound correlates by 0.71 with the clip inside it, and with no other."""
    splits = importlib.import_module("digit_voices").read_voices(digits.VOICES, seed=0)
    sounds = members(built, "audio")
    for position in range(0, len(sounds), 61):
        heard, _ = soundfile.read(io.BytesIO(sounds[position]))
        record = built[1][position]
        matches = {
            split: max(
                (
                    float(np.corrcoef(heard, clip)[0, 1])
                    for said in voices.values()
                    for clip in said[int(record.labels["digit"])]
                    if len(clip) == len(heard)
                ),
                default=0.0,
            )
            for split, voices in splits.items()
        }
        assert max(matches, key=lambda split: matches[split]) == record.split
        assert matches[record.split] == pytest.approx(0.71, abs=0.06)


def test_captions_are_true_and_two_in_five_are_vague(digits: ModuleType, built: Built) -> None:
    captions = importlib.import_module("digit_captions")
    num_vague = 0
    for record, data in zip(built[1], members(built, "text"), strict=True):
        text, digit = data.decode(), int(record.labels["digit"])
        assert text in captions.exact_captions(digit) or str(digit) in captions.VAGUE[text]
        num_vague += text in captions.VAGUE
    assert num_vague / len(built[1]) == pytest.approx(0.4, abs=0.02)


def test_exact_captions_name_one_digit_and_vague_ones_several(digits: ModuleType) -> None:
    captions = importlib.import_module("digit_captions")
    exact = [(text, digit) for digit in range(10) for text in set(captions.exact_captions(digit))]
    assert len(exact) == len({text for text, _ in exact})
    assert {"seven", "a handwritten seven", "siete"} <= set(captions.exact_captions(7))
    assert all(2 <= len(set(true_of)) <= 5 for true_of in captions.VAGUE.values())
    assert captions.VAGUE["a prime digit"] == "2357"
    assert captions.VAGUE["an odd digit"] == captions.VAGUE["un dígito impar"] == "".join(str(digit) for digit in range(1, 10, 2))
    assert not set(captions.VAGUE) & {text for text, _ in exact}


def test_the_archive_is_small_and_says_what_each_clip_is(archive: zipfile.ZipFile, digits: ModuleType) -> None:
    facts = json.loads(archive.read("voices.json"))
    assert Path(digits.VOICES).stat().st_size <= 3_000_000
    assert "ynthetic" in facts["what"]
    provenance = Path(digits.VOICES).with_name("PROVENANCE.md").read_text(encoding="utf-8")
    assert hashlib.sha256(Path(digits.VOICES).read_bytes()).hexdigest() in provenance
    assert all(engine["version"] and engine["licence"] for engine in facts["engines"].values())
    assert {clip["file"] for clip in facts["clips"]} | {"voices.json"} == set(archive.namelist())
    sounds = [archive.read(clip["file"]) for clip in facts["clips"]]
    assert len(set(sounds)) == len(sounds), "two clips are the same sound"
    for sound in sounds[::23]:
        samples, rate_hz = soundfile.read(io.BytesIO(sound))
        assert rate_hz == 8000
        assert samples.ndim == 1
        assert np.sqrt(np.square(samples).mean()) == pytest.approx(0.06, rel=0.02)


def test_a_snapshot_is_stable_and_counts_what_will_come(digits: ModuleType, built: Built) -> None:
    source = digits.DigitsSource(digits.DigitsSource.Config(format="corpus:DigitsSource"), EXAMPLES / "digits")
    snapshot = source.snapshot()
    assert snapshot == source.snapshot()
    assert snapshot["records"] == len(built[1])
    written = sum(path.stat().st_size for path in built[0].iterdir())
    assert snapshot["bytes"] == pytest.approx(written, rel=0.05)
    assert len(snapshot["digest"]) == 64


def test_planning_imports_neither_numpy_nor_scikit_learn() -> None:
    code = (
        "import sys, pathlib, corpus;"
        "corpus.DigitsSource(corpus.DigitsSource.Config(format='corpus:DigitsSource'), pathlib.Path()).snapshot();"
        "sys.exit(', '.join({'numpy', 'sklearn', 'soundfile', 'PIL', 'torch'} & set(sys.modules)) or 0)"
    )
    paths = [str(EXAMPLES / "digits"), str(EXAMPLES.parent)]
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(paths)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_making_the_archive_without_the_engines_says_what_to_install(digits: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    synthesise = importlib.import_module("synthesise")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(SystemExit, match="apt-get install espeak-ng flite"):
        synthesise.installed_version("flite")


def test_tidying_a_clip_cuts_silence_and_sets_rate_and_level(digits: ModuleType) -> None:
    synthesise = importlib.import_module("synthesise")
    tone = np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
    tidied = synthesise.tidy(np.concatenate([np.zeros(8000), tone, np.zeros(16000)]), 16000)
    assert tidied.dtype == np.int16
    assert len(tidied) == pytest.approx(8000, abs=2 * synthesise.MARGIN + 2 * synthesise.FRAME)
    assert np.sqrt(np.square(tidied / 32768).mean()) == pytest.approx(synthesise.LEVEL, rel=0.01)
    assert not (tidied % synthesise.STEP).any()
