from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from tasks.drift.audio_features import audio_features
from tasks.drift.features import MEDIA, OVER_ALL, WORDS, measure_of, named
from tasks.drift.image_features import image_features
from tasks.drift.text_features import text_features
from tasks.errors import BadMember
from tasks.modalities import MODALITIES
from tasks.modalities.audio_samples import flac_bytes, wav_bytes


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def tone(hertz: float, level: float = 1.0, seconds: float = 1.0, rate_hz: int = 8000) -> np.ndarray:
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.round(level * 32767 * np.sin(2 * np.pi * hertz * time)).astype(np.int16)


def test_every_medium_of_ours_is_measured_and_every_feature_has_a_name() -> None:
    assert set(MEDIA) == set(MODALITIES)
    given = {
        "image": png(np.random.default_rng(0).integers(0, 255, (20, 30, 3))),
        "audio": flac_bytes(tone(440), 8000),
        "text": b"The night is young.",
    }
    for modality, data in given.items():
        measured = measure_of(modality)(data)
        names = {f"{modality}.{name}" for kind in (measured.numbers, measured.classes, measured.vectors) for name in kind}
        assert names == {name for name in WORDS if name.startswith(f"{modality}.")}
        assert np.isfinite(list(measured.numbers.values())).all()
    assert {named(f"depth.{name}") for name in OVER_ALL} == {words for words, _ in OVER_ALL.values()}
    assert named("label.digit") == "label digit"


def test_a_medium_of_the_users_own_is_compared_by_its_size() -> None:
    assert measure_of("depth")(b"12345").numbers == {"bytes": 5.0}


def test_a_plain_grey_picture_has_its_brightness_and_nothing_else() -> None:
    found = image_features(png(np.full((40, 60), 51))).numbers
    assert found["brightness"] == pytest.approx(0.2, abs=1e-6)
    assert (found["width"], found["height"]) == (60.0, 40.0)
    assert [found[name] for name in ("contrast", "saturation", "sharpness", "dark", "bright")] == pytest.approx([0] * 5, abs=1e-6)


def test_the_numbers_of_a_picture_are_their_formulas() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (30, 30, 3))
    found = image_features(png(pixels)).numbers
    values = pixels / 255
    luma = values @ [0.299, 0.587, 0.114]
    assert found["brightness"] == pytest.approx(luma.mean(), abs=1e-6)
    assert found["contrast"] == pytest.approx(luma.std(), abs=1e-6)
    assert found["saturation"] == pytest.approx((values.max(2) - values.min(2)).mean(), abs=1e-6)
    assert found["dark"] == pytest.approx((luma < 0.1).mean())
    from scipy.ndimage import laplace

    assert found["sharpness"] == pytest.approx(laplace(luma)[1:-1, 1:-1].std() / luma.std(), rel=1e-4)


def test_a_blurred_picture_is_less_sharp_and_a_darkened_one_less_bright() -> None:
    sharp = Image.fromarray(np.random.default_rng(2).integers(0, 256, (64, 64), dtype=np.uint8))
    one, other = (
        image_features(png(np.asarray(sharp))).numbers,
        image_features(png(np.asarray(sharp.resize((16, 16)).resize((64, 64))))).numbers,
    )
    assert other["sharpness"] < 0.5 * one["sharpness"]
    assert image_features(png(np.asarray(sharp) * 0.5)).numbers["brightness"] == pytest.approx(one["brightness"] / 2, abs=0.01)


def test_a_large_picture_is_measured_small_and_keeps_its_size() -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (900, 1200), dtype=np.uint8)
    found = image_features(png(pixels)).numbers
    assert (found["width"], found["height"]) == (1200.0, 900.0)
    assert found["brightness"] == pytest.approx(pixels.mean() / 255, abs=0.002)


def test_a_tone_has_its_level_its_pitch_and_its_zero_crossings() -> None:
    found = audio_features(wav_bytes(tone(1000, 0.5), 8000)).numbers
    assert found["level"] == pytest.approx(20 * np.log10(0.5) - 3.0103, abs=0.01)
    assert found["peak"] == pytest.approx(-6.02, abs=0.01)
    assert found["centroid"] == pytest.approx(1000, abs=5)
    assert found["crossings"] == pytest.approx(2000, rel=0.01)
    assert (found["seconds"], found["rate"], found["silence"]) == (1.0, 8000.0, 0.0)
    assert found["spread"] < 60


def test_noise_is_flatter_than_a_tone_and_a_pause_is_silence() -> None:
    noise = np.random.default_rng(0).integers(-8000, 8000, 8000).astype(np.int16)
    assert audio_features(wav_bytes(noise, 8000)).numbers["flatness"] > audio_features(wav_bytes(tone(500), 8000)).numbers["flatness"] + 20
    half = tone(500)
    half[4096:] = 0
    assert audio_features(wav_bytes(half, 8000)).numbers["silence"] == pytest.approx(0.5, abs=0.05)


def test_silence_has_a_level_and_no_pitch() -> None:
    found = audio_features(wav_bytes(np.zeros(4000, np.int16), 8000)).numbers
    assert found["level"] == -120.0
    assert np.isnan(found["centroid"])


def test_the_shortest_sound_can_be_measured() -> None:
    assert audio_features(wav_bytes(np.array([100], np.int16), 8000)).numbers["seconds"] == 1 / 8000


def test_a_text_has_its_characters_words_and_kinds() -> None:
    found = text_features(b"Two Owls, 42 mice!")
    assert found.numbers == pytest.approx(
        {"characters": 18, "words": 4, "word_length": 13 / 4, "capitals": 2 / 11, "digits": 2 / 18, "punctuation": 2 / 18}
    )
    assert found.classes["script"] == "latin"


def test_vectors_of_a_text_are_of_length_one_and_equal_for_equal_words() -> None:
    one, other = text_features(b"the owl and the mouse").vectors, text_features(b"the mouse, and The Owl").vectors
    for name in ("vocabulary", "letters"):
        assert one[name] == pytest.approx(other[name])
        assert np.linalg.norm(one[name]) == pytest.approx(1.0, abs=1e-6)
    assert not text_features(b"").vectors["vocabulary"].any()


@pytest.mark.parametrize(("modality", "data"), [("image", b"no picture"), ("audio", b"no sound"), ("text", b"\xff\xfe\xfa")])
def test_what_cannot_be_decoded_is_a_bad_member(modality: str, data: bytes) -> None:
    with pytest.raises(BadMember, match=f"{modality}/"):
        measure_of(modality)(data)
