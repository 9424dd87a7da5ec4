"""What every registered augmenter must do, and what each of ours does."""

from __future__ import annotations

import pickle
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from pydantic import ValidationError

from tasks.contracts import Augmenter, Fit, Reader
from tasks.errors import BadMember
from tasks.modalities import MODALITIES
from tasks.modalities.audio_augment import AudioAugmenter
from tasks.modalities.audio_reader import AudioReader
from tasks.modalities.augment_config import AudioAugment, ImageAugment
from tasks.modalities.chance import sample_seed
from tasks.modalities.config import AudioRead, ImageRead
from tasks.modalities.image_augment import ImageAugmenter
from tasks.modalities.image_reader import ImageReader
from tasks.registry import load
from tests.tasks.modalities.pictures import pixels, saved
from tests.tasks.modalities.sounds import tone, wav_bytes

Pixels = npt.NDArray[np.int64]

EVERYTHING: dict[str, dict[str, Any]] = {
    "image": {
        "crop": [0.3, 1],
        "stretch": 1.5,
        "flip": 0.5,
        "rotate_degrees": 20,
        "shift": 0.1,
        "brightness": 0.3,
        "contrast": 0.3,
        "saturation": 0.3,
        "hue": 0.1,
        "erase": 0.5,
    },
    "audio": {
        "speeds": [0.9, 1, 1.1],
        "snr_db": [5, 30],
        "gain_db": [-6, 6],
        "time_masks": 2,
        "frequency_masks": 2,
    },
}
"""Every medium that can be varied has a line here: the contract test looks."""

NAMES = [name for name, entry in MODALITIES.items() if entry.augment is not None]


def made(name: str) -> tuple[Augmenter, Reader, list[bytes]]:
    """An augmenter that does all it can, its reader, and stored members."""
    entry = MODALITIES[name]
    modality, augment = entry.load(), entry.augment
    assert augment is not None
    members = [modality.encode(probe, entry.prepare()) for probe in modality.probes()]
    reader = modality.reader(entry.read(), modality.fit(entry.fit(), members[0].stats, lambda: iter([members[0].data])))
    return load(augment.target)(augment.config.model_validate(EVERYTHING[name]), reader), reader, [member.data for member in members]


# ---- every augmenter --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_seed_gives_one_result_whatever_ran_before_or_beside_it(name: str) -> None:
    augmenter, _, (data, *_) = made(name)
    expected = [augmenter.read(data, seed) for seed in range(16)]
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    state, position = torch.get_rng_state(), random.getstate()
    with ThreadPoolExecutor(4, initializer=torch.get_num_threads) as pool:
        found = list(pool.map(lambda seed: augmenter.read(data, seed), reversed(range(16))))
    assert all(np.array_equal(one, other) for one, other in zip(expected, reversed(found), strict=True))
    assert torch.equal(torch.get_rng_state(), state), "shared generators are left alone: dropout draws from them"
    assert random.getstate() == position


@pytest.mark.parametrize("name", NAMES)
def test_seeds_give_different_results_that_the_reader_collates(name: str) -> None:
    augmenter, reader, members = made(name)
    for data in members:
        plain, varied = reader.read(data), [augmenter.read(data, seed) for seed in range(8)]
        assert all(value.dtype == plain.dtype for value in varied)
        assert len({value.tobytes() for value in varied}) >= 7
        batch = reader.collate([*varied, None])
        assert batch.values.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_a_pickled_augmenter_reads_the_same(name: str) -> None:
    augmenter, _, (data, *_) = made(name)
    assert np.array_equal(pickle.loads(pickle.dumps(augmenter)).read(data, 3), augmenter.read(data, 3))


@pytest.mark.parametrize("name", NAMES)
def test_reading_plainly_is_left_as_it_was(name: str) -> None:
    augmenter, reader, (data, *_) = made(name)
    before = reader.read(data).copy()
    augmenter.read(data, 1)
    assert np.array_equal(reader.read(data), before)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_members_are_refused_as_the_reader_refuses_them(name: str) -> None:
    augmenter, _, (data, *_) = made(name)
    with pytest.raises(BadMember, match=f"{name}/"):
        augmenter.read(data[: len(data) // 2], 0)


@pytest.mark.parametrize("name", NAMES)
def test_a_config_that_asks_for_nothing_is_refused_with_an_example(name: str) -> None:
    augment = MODALITIES[name].augment
    assert augment is not None
    with pytest.raises(ValidationError, match=r"nothing is varied unless you say what: \{"):
        augment.config.model_validate({})


def test_seeds_depend_on_seed_epoch_key_and_modality() -> None:
    given = [(0, 0, "a", "image"), (1, 0, "a", "image"), (0, 1, "a", "image"), (0, 0, "b", "image"), (0, 0, "a", "audio")]
    assert len({sample_seed(*one) for one in given}) == len(given)
    assert sample_seed(1, 23, "a", "image") != sample_seed(12, 3, "a", "image")


# ---- pictures ---------------------------------------------------------------------------------------------------------


def image(side: int = 16, **options: Any) -> ImageAugmenter:
    read = {name: options.pop(name) for name in ("fit", "channels", "normalise") if name in options}
    reader = ImageReader.build(ImageRead(size=(side, side), **read), Fit({"mean": [0.2, 0.4, 0.6], "std": [1.0, 1.0, 1.0]}))
    return ImageAugmenter(ImageAugment.model_validate(options), reader)


def several(augmenter: ImageAugmenter, data: bytes, count: int = 30) -> Iterator[Pixels]:
    return (augmenter.read(data, seed).astype(np.int64) for seed in range(count))


def test_a_flip_is_the_mirror_image_and_happens_as_often_as_asked() -> None:
    source = pixels(16, 16)
    flipped = [np.array_equal(found, source[:, ::-1]) for found in several(image(flip=0.5), saved(source, "PNG"), 200)]
    assert 70 < sum(flipped) < 130
    assert all(np.array_equal(found, source[:, ::-1]) for found in several(image(flip=1), saved(source, "PNG"), 3))


def test_a_crop_is_a_part_of_the_picture_scaled_up() -> None:
    ramp = np.repeat(np.arange(64, dtype=np.uint8)[:, None] * 4, 64, axis=1)[:, :, None].repeat(3, axis=2)
    for found in several(image(side=32, crop=(0.25, 0.25)), saved(ramp, "PNG")):
        assert 110 < np.ptp(found) < 130, "a quarter of the area has half of the height"


def test_the_most_that_a_crop_may_be_is_the_whole_picture() -> None:
    plain = image(crop=(1, 1))
    data = saved(pixels(40, 20), "PNG")
    for fit in ("squash", "crop", "pad"):
        whole = image(crop=(1, 1), fit=fit)
        assert all(np.array_equal(found, whole.reader.read(data)) for found in several(whole, data, 3))
    assert plain.reader.shape == {"channels": 3, "height": 16, "width": 16}


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_a_jpeg_is_not_decoded_smaller_than_its_part_needs(fit: str) -> None:
    fine = np.indices((256, 256)).sum(0) // 4 % 2 * 255
    data = saved(np.repeat(fine[:, :, None], 3, 2).astype(np.uint8), "JPEG", quality=95)
    cut = image(side=64, crop=(0.0625, 0.0625), fit=fit)
    assert all(found.std() > 80 for found in several(cut, data, 5)), "a quarter of each side at 64 pixels is the picture at its own size"


def test_a_picture_of_one_pixel_can_be_varied() -> None:
    for found in several(image(side=1, **EVERYTHING["image"]), saved(pixels(1, 1), "PNG"), 5):
        assert found.shape == (1, 1, 3)


def test_turning_and_shifting_leaves_corners_in_the_mean_colour() -> None:
    white = saved(np.full((16, 16, 3), 255, dtype=np.uint8), "PNG")
    turned = next(several(image(rotate_degrees=45), white))
    assert turned[0, 0].tolist() == [51, 102, 153]
    assert turned[8, 8].tolist() == [255, 255, 255]
    shifted = list(several(image(shift=0.5), white))
    assert any((found == [51, 102, 153]).all(2).any(0).all() for found in shifted), "down or up"
    assert any((found == [51, 102, 153]).all(2).any(1).all() for found in shifted), "left or right"


def test_brightness_contrast_and_saturation_stay_within_their_reach() -> None:
    grey = saved(np.full((16, 16, 3), 100, dtype=np.uint8), "PNG")
    levels = [int(found.max()) for found in several(image(brightness=0.2), grey, 60)]
    assert 80 <= min(levels) < 90
    assert 110 < max(levels) <= 120
    assert {int(found.max()) for found in several(image(contrast=0.5, saturation=0.5), grey)} == {100}, "there is no contrast to change"


def test_hue_changes_colours_and_no_greys() -> None:
    red = np.zeros((16, 16, 3), dtype=np.uint8)
    red[:, :, 0] = 200
    assert len({found[0, 0].tobytes() for found in several(image(hue=0.5), saved(red, "PNG"))}) > 20
    assert {tuple(found[0, 0]) for found in several(image(hue=0.5), saved(np.full((16, 16, 3), 99, np.uint8), "PNG"))} == {(99, 99, 99)}


def test_an_erased_rectangle_has_the_area_that_was_asked_for_and_the_mean_colour() -> None:
    white = saved(np.full((32, 32, 3), 255, dtype=np.uint8), "PNG")
    for found in several(image(side=32, erase=1, erase_area=(0.1, 0.2)), white):
        gone = (found == [51, 102, 153]).all(2)
        assert 0.08 < gone.mean() < 0.23
        assert gone[np.ix_(gone.any(1), gone.any(0))].all(), "a rectangle"
    assert not any((found != 255).any() for found in several(image(side=32, erase=1e-9), white))


def test_grey_pictures_are_varied_too() -> None:
    options = {name: value for name, value in EVERYTHING["image"].items() if name not in ("saturation", "hue")}
    assert next(several(image(channels=1, **options), saved(pixels(9, 9), "PNG"))).shape == (16, 16, 1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop": [0.9, 0.5]}, r"a range of areas is \[from, to\]"),
        ({"crop": [0, 1]}, "above 0"),
        ({"crop": [0.5, 1.5]}, "less than or equal to 1"),
        ({"stretch": 1.5}, "give `crop` too"),
        ({"flip": 2}, "less than or equal to 1"),
        ({"flips": 0.5}, "Extra inputs"),
    ],
)
def test_pictures_cannot_be_varied_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ImageAugment.model_validate(options)


def test_colours_of_grey_pictures_are_a_problem_that_is_told() -> None:
    assert "saturation, hue: pictures are read in grey" in ImageAugment(saturation=0.1, hue=0.1).problems(ImageRead(channels=1))[0]
    assert ImageAugment(saturation=0.1).problems(ImageRead()) == ImageAugment(flip=1).problems(ImageRead(channels=1)) == []


# ---- sounds -----------------------------------------------------------------------------------------------------------


def audio(read: dict[str, Any] | None = None, **options: Any) -> AudioAugmenter:
    given = {"features": "waveform", "normalise": "none", **(read or {})}
    return AudioAugmenter(AudioAugment.model_validate(options), AudioReader.build(AudioRead(**given), Fit()))


SOUND = wav_bytes(tone(16_000, pitch_hz=500), 16_000)


def pitch_hz(wave_T1: npt.NDArray[np.float32]) -> float:
    spectrum = np.abs(np.fft.rfft(wave_T1[:, 0]))
    return float(spectrum.argmax() * 16_000 / len(wave_T1))


def test_a_faster_sound_is_shorter_and_higher() -> None:
    found = {(len(wave), round(pitch_hz(wave), -1)) for wave in (audio(speeds=[0.8, 1, 1.25]).read(SOUND, seed) for seed in range(20))}
    assert found == {(20_000, 400.0), (16_000, 500.0), (12_800, 620.0)}


def test_slower_sounds_are_cut_as_all_are() -> None:
    assert len(audio({"max_seconds": 1.0}, speeds=[0.5]).read(SOUND, 0)) == 16_000


def test_noise_is_as_far_below_the_sound_as_asked() -> None:
    plain = audio(speeds=[1]).read(SOUND, 0)
    for seed in range(5):
        noise = audio(snr_db=[20, 20]).read(SOUND, seed) - plain
        assert 10 * np.log10((plain**2).mean() / (noise**2).mean()) == pytest.approx(20, abs=0.3)
        assert abs(np.corrcoef(noise[:-1, 0], noise[1:, 0])[0, 1]) < 0.05, "white"


def test_silence_stays_silent_and_finite() -> None:
    silence = wav_bytes(np.zeros(3000, dtype=np.int16), 16_000)
    assert not audio(snr_db=[0, 10], gain_db=[0, 20]).read(silence, 0).any()


def test_gain_is_in_decibels_and_what_is_too_loud_is_cut_off() -> None:
    plain = audio(speeds=[1]).read(SOUND, 0)
    assert np.allclose(audio(gain_db=[-6.0206, -6.0206]).read(SOUND, 0), plain / 2, atol=1e-4)
    assert np.abs(audio(gain_db=[20, 20]).read(SOUND, 0)).max() == 1


def test_masks_have_the_size_that_was_asked_for_at_most() -> None:
    read = {"features": "log_mel", "num_mels": 40, "normalise": "utterance"}
    longest = broadest = 0
    for seed in range(60):
        found = audio(read, time_masks=1, time_mask_seconds=0.15, frequency_masks=1, frequency_mask_bands=6).read(SOUND, seed)
        times, bands = (found == 0).all(1), (found == 0).all(0)
        assert found.shape == (101, 40)
        assert times.sum() <= 15
        assert bands.sum() <= 6
        assert (np.diff(times.astype(int)) == 1).sum() <= 1, "one stretch"
        longest, broadest = max(longest, times.sum()), max(broadest, bands.sum())
    assert (longest, broadest) == (15, 6)


def test_a_mask_never_covers_more_than_its_share_of_a_short_sound() -> None:
    short = wav_bytes(tone(1600), 16_000)
    read = {"features": "log_mel", "num_mels": 40, "normalise": "utterance"}
    assert max((audio(read, time_masks=1).read(short, seed) == 0).all(1).sum() for seed in range(30)) == 2


def test_masks_of_features_that_are_not_normalised_have_their_mean() -> None:
    read = {"features": "log_mel", "num_mels": 40, "normalise": "none"}
    plain = audio(read, speeds=[1]).read(SOUND, 0)
    found = audio(read, frequency_masks=1, frequency_mask_bands=8).read(SOUND, 1)
    changed = (found != plain).any(0)
    assert changed.any()
    assert np.allclose(found[:, changed], plain.mean())


def test_masking_and_cutting_go_together_with_sounds_of_one_sample() -> None:
    one = wav_bytes(tone(1), 16_000)
    read = {"features": "log_mel"}
    for seed in range(5):
        assert audio(read, **EVERYTHING["audio"]).read(one, seed).shape == (1, 64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speeds": [3]}, "less than or equal to 2"),
        ({"speeds": [0.955]}, "speeds are hundredths such as 0.95, given 0.955"),
        ({"snr_db": [30, 10]}, r"a range is \[from, to\], rising, given \[30.0, 10.0\]"),
        ({"time_masks": -1}, "greater than or equal to 0"),
    ],
)
def test_sounds_cannot_be_varied_out_of_range(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        AudioAugment.model_validate(options)


def test_bands_that_are_not_there_are_a_problem_that_is_told() -> None:
    masks = AudioAugment(frequency_masks=1, frequency_mask_bands=20)
    assert "mfcc has no bands to mask" in masks.problems(AudioRead(features="mfcc"))[0]
    assert "would blank out all of the 20 bands" in masks.problems(AudioRead(num_mels=20))[0]
    assert masks.problems(AudioRead()) == []
