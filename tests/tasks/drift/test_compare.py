from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from tasks.contracts import SourceRecord
from tasks.drift.compare import MIN_SAMPLES, Comparison, Finding, Settings, compare
from tasks.drift.sketch import Sketch
from tasks.drift.words import sentence
from tasks.errors import InputError
from tests.tasks.drift import corpora
from tests.tasks.drift.corpora import toy

RESAMPLES = 200


def finding(comparison: Comparison, feature: str) -> Finding:
    return next(test for test in comparison.tests if test.feature == feature)


# ---- quiet on none ----


def false_alarms(whole: Sketch, size: int, settings: Settings) -> int:
    """Halves of the same rows, dealt anew each time."""
    alarms = 0
    for seed in range(RESAMPLES):
        dealt = np.random.default_rng(seed).permutation(len(whole))[: 2 * size]
        found = compare(whole.rows(np.sort(dealt[:size])), whole.rows(np.sort(dealt[size:])), replace(settings, seed=seed))
        alarms += bool(found.moved)
    return alarms


@pytest.mark.slow
def test_false_alarms_on_made_up_data_are_at_most_the_stated_rate() -> None:
    alarms = false_alarms(toy(4000, 0), 100, Settings(alpha=0.1, level=0.0))
    assert alarms <= binom.ppf(0.99, RESAMPLES, 0.1)


def test_false_alarms_on_real_data_are_at_most_the_stated_rate(digit_sketch: Sketch) -> None:
    """All features of pictures, recordings and captions, at a level of nothing: significance alone decides."""
    alarms = false_alarms(digit_sketch, 80, Settings(alpha=0.05, level=0.0))
    assert alarms <= binom.ppf(0.99, RESAMPLES, 0.05)


def test_p_values_of_single_features_are_honest() -> None:
    """Over features that nothing moves, p ≤ 0.1 in about a tenth."""
    p: list[float] = []
    for seed in range(60):
        found = compare(toy(150, 2 * seed), toy(90, 2 * seed + 1), Settings(seed=seed))
        p += [test.p for test in found.tests if not test.feature.endswith(".present")]
    share = np.mean(np.array(p) <= 0.1)
    assert share == pytest.approx(0.1, abs=0.04)


# ---- what moves is found, and nothing else ----


@pytest.mark.parametrize(("shift", "group"), [({"image_a": 1.0}, "image"), ({"text_b": -1.0}, "text"), ({"text_vocabulary": 1.0}, "text")])
def test_a_shift_of_one_deviation_is_found_where_it_is(shift: dict[str, float], group: str) -> None:
    found = compare(toy(400, 0), toy(200, 1, **shift))
    assert found.moved == (group,)
    assert found.effect(group) > 0.25


def test_the_effect_does_not_depend_on_how_many_samples_there_are() -> None:
    effects = [finding(compare(toy(size, 0), toy(size, 1, image_a=1.0)), "image.a").effect for size in (300, 1000, 4000)]
    assert max(effects) < 1.4 * min(effects)


def test_a_significant_change_below_the_level_is_told_and_is_no_drift() -> None:
    found = compare(toy(4000, 0), toy(4000, 1, image_a=0.15), Settings(level=0.1))
    assert found.moved == ()
    assert finding(found, "image.a").p_corrected < 0.01
    assert "moved by less than the level of 0.1: " in sentence(found, "image")
    assert compare(toy(4000, 0), toy(4000, 1, image_a=0.15), Settings(level=0.0)).moved == ("image",)


def test_classes_that_are_new_are_drift() -> None:
    new = toy(200, 1)
    new = replace(new, classes={**new.classes, "text.language": np.full(200, "pl")})
    found = compare(toy(200, 0), new)
    assert found.moved == ("text",)
    assert finding(found, "text.language").details["shares"]["pl"] == [0.0, 1.0]


def test_a_class_prior_that_moved_is_said_of_the_labels() -> None:
    new = toy(300, 1)
    new = replace(new, classes={**new.classes, "label.digit": np.where(np.arange(300) % 2, "7", new.classes["label.digit"])})
    assert compare(toy(300, 0), new).moved == ("label",)


def test_a_modality_that_is_missing_more_often_has_moved() -> None:
    new = toy(200, 1)
    new = replace(new, present={**new.present, "image": np.arange(200) % 2 == 0})
    found = compare(toy(200, 0), new)
    assert found.moved == ("image",)
    assert "presence: there from 100.0\u202f% to 50.0\u202f%" in sentence(found, "image")


def test_new_data_without_a_modality_are_told_so_and_the_rest_is_compared() -> None:
    new = toy(200, 1).only(["text"])
    found = compare(toy(200, 0), new)
    assert found.moved == ("image",)
    assert {test.feature for test in found.of("image")} == {"image.present"}
    assert len(found.of("text")) > 3


def test_darkened_pictures_move_the_pictures_alone(digit_records: list[SourceRecord], digit_folder: Path) -> None:
    """Other pictures than the reference's, with their recordings and captions."""
    prepared = corpora.prepare("image", "audio", "text")
    by_split = {split: [record for record in digit_records if record.split == split] for split in ("train", "test")}
    halves = [[record for record in by_split["test"] if hash_of(record.group) % 2 == half] for half in (0, 1)]
    reference = corpora.sketch(halves[0], digit_folder, prepared, 400)
    found = compare(reference, corpora.sketch(halves[1], digit_folder, prepared, 400, corpora.darkened(0.6)))
    assert found.moved == ("image",)
    assert found.of("image")[0].feature in ("image.brightness", "image.contrast", "image.dark")
    assert "brightness fell from" in sentence(found, "image")
    assert compare(reference, corpora.sketch(halves[1], digit_folder, prepared, 400)).moved == ()


@pytest.mark.skipif(
    not corpora.FSDD.is_file(), reason="needs the Free Spoken Digit Dataset as ../shared/data/fsdd.zip beside the repository"
)
def test_another_speaker_moves_the_sound_alone(tmp_path: Path) -> None:
    records = corpora.spoken(tmp_path)
    prepared = corpora.prepare("image", "audio")
    of_speaker = {name: [record for record in records if record.key.startswith(name)] for name in ("george", "theo")}
    found = compare(*(corpora.sketch(of_speaker[name], tmp_path, prepared, 300) for name in ("george", "theo")))
    assert found.moved == ("audio",)
    assert found.effect("audio") > 0.25
    halves = [[record for record in of_speaker["george"] if hash_of(record.group) % 2 == half] for half in (0, 1)]
    assert compare(*(corpora.sketch(half, tmp_path, prepared, 300) for half in halves)).moved == ()


@pytest.mark.filterwarnings("ignore:Palette images with Transparency:UserWarning")  # Pillow's, of one stamp
@pytest.mark.skipif(not corpora.STAMPS.is_dir(), reason="needs the Debian package tuxpaint-stamps-default")
def test_another_language_moves_text_and_sound_and_not_the_pictures(tmp_path: Path) -> None:
    records = corpora.stamps(tmp_path)
    prepared = corpora.prepare("image", "audio", "text", image={"size": [96, 96], "fit": "pad"}, audio={"rate_hz": 16_000})
    asked = {
        language: [record for record in records if record.labels["language"] == language and hash_of(record.group) % 2 == half]
        for half, language in enumerate(("fr", "ru"))
    }
    french = corpora.sketch(asked["fr"], tmp_path, prepared, 150).only(["image", "audio", "text"])
    russian = corpora.sketch(asked["ru"], tmp_path, prepared, 150)
    found = compare(replace(french, classes=unlabelled(french)), replace(russian, classes=unlabelled(russian)))
    assert set(found.moved) == {"text", "audio"}
    assert finding(found, "text.script").details["shares"]["cyrillic"] == [0.0, 1.0]
    assert "language: " in sentence(found, "text") or "script: " in sentence(found, "text")


def unlabelled(sketch: Sketch) -> dict[str, np.ndarray]:
    return {name: values for name, values in sketch.classes.items() if not name.startswith("label.")}


def hash_of(text: str) -> int:
    return zlib.crc32(text.encode())


# ---- what cannot be compared ----


def test_too_few_samples_are_refused_with_how_many_it_takes() -> None:
    with pytest.raises(InputError, match=rf"the new data have {MIN_SAMPLES - 1} independent samples; a comparison takes {MIN_SAMPLES}"):
        compare(toy(200, 0), toy(MIN_SAMPLES - 1, 1))
    grouped = replace(toy(12, 0), facts={"records": 500})
    with pytest.raises(InputError, match="the reference has 12 independent samples, in 500 records: those of one group count once"):
        compare(grouped, toy(200, 1))


def test_a_feature_that_too_few_have_is_named_and_left_out() -> None:
    new = toy(100, 1)
    new = replace(new, numbers={**new.numbers, "image.a": np.where(np.arange(100) < 20, new.numbers["image.a"], np.nan)})
    found = compare(toy(100, 0), new)
    assert "image.a is not compared: 100 and 20 samples have it, and it takes 30 of each side" in found.notes
    assert "image.a" not in {test.feature for test in found.tests}


def test_nothing_in_common_is_refused() -> None:
    with pytest.raises(InputError, match="the reference has image, the new data have text: nothing in common"):
        compare(toy(100, 0).only(["image"]), toy(100, 1).only(["text"]))


@pytest.mark.parametrize(("given", "message"), [({"alpha": 0.9}, "--alpha is 0.9"), ({"level": -1.0}, "--level is -1; it is a PSI")])
def test_settings_out_of_range_are_refused(given: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Settings(**given)


def test_the_same_data_and_seed_give_the_same_numbers() -> None:
    one, other = (compare(toy(200, 0), toy(200, 1), Settings(seed=3)) for _ in range(2))
    assert [test.p for test in one.tests] == [test.p for test in other.tests]
