"""Encoders and the media they are given, seen when a recipe is checked."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.modalities import MODALITIES
from tasks.modalities.config import AudioRead, ImageRead, TextFit
from tasks.models.media import KIN, misplaced
from tasks.shard import ShardConfig
from tasks.train import lint
from tests.tasks.models.example import config
from tests.tasks.training.example import config as training


def problems(encoders: dict[str, Any], fit: TextFit | None = None, **read: Any) -> list[str]:
    return misplaced(config(encoders=encoders).encoders, read, {"text": fit} if fit else {})


def test_encoders_of_their_own_media_are_in_their_place() -> None:
    assert problems({"image": "vit", "text": "transformer", "audio": "conformer"}) == []
    assert problems({"audio": "waveform_cnn"}, audio=AudioRead(features="waveform")) == []
    assert problems({"image": "tests.tasks.models.own:Mean"}) == []


def test_an_encoder_of_another_medium_is_told_with_those_there_are() -> None:
    (problem,) = problems({"image": "gru"})
    assert problem.startswith(
        "model.encoders.image: encoder 'gru' is made for audio, sensor, text; for image there are cnn, vgg, resnet, vit"
    )
    (problem,) = problems({"audio": "mlp"})
    assert "for audio there are lstm, gru, transformer, spectrogram_cnn, cnn_lstm" in problem


@pytest.mark.parametrize("read", [{}, {"audio": AudioRead()}])
def test_a_waveform_encoder_of_spectral_frames_is_told(read: dict[str, Any]) -> None:
    (problem,) = problems({"audio": "waveform_cnn"}, **read)
    assert "set `read: {audio: {features: waveform}}`" in problem


@pytest.mark.parametrize("kind", ["cnn_lstm", "crnn", "spectrogram_cnn", "conformer"])
def test_an_encoder_of_bands_that_is_given_samples_is_told(kind: str) -> None:
    assert problems({"audio": kind}, audio=AudioRead(features="waveform")) == [
        (
            f"model.encoders.audio: encoder {kind!r} looks at the bands of spectral frames, and the sound is read as samples, one number a "
            "step; choose 'waveform_cnn', or leave `features: waveform` out of its `read`"
        )
    ]


def test_attention_between_all_samples_of_a_long_sound_is_told() -> None:
    assert problems({"audio": "transformer"}, audio=AudioRead(features="waveform")) == [
        (
            "model.encoders.audio: encoder 'transformer' lets all samples of a sound attend to each other, and `max_seconds` times "
            "`rate_hz` are 480,000, where 10,000 can be; choose 'waveform_cnn', leave `features: waveform` out of its `read`, or lower "
            "`max_seconds`"
        )
    ]
    assert problems({"audio": "transformer"}, audio=AudioRead(features="waveform", max_seconds=0.5)) == []
    assert problems({"audio": "tcn"}, audio=AudioRead(features="waveform")) == []


@pytest.mark.parametrize(
    ("encoder", "size", "problem"),
    [
        ("cnn", (3, 32), "encoder 'cnn' takes images of 4 pixels a side and more, given 3 by 32; raise its `size` in `read`"),
        ("regions", (8, 2), "encoder 'regions' takes images of 4 pixels a side and more, given 8 by 2; raise its `size` in `read`"),
        (
            "vgg",
            (8, 8),
            (
                "encoder 'vgg' halves a picture five times and takes 32 pixels a side and more, given 8 by 8; raise its `size` in `read`, "
                "or choose `kind: cnn`"
            ),
        ),
        ("vit", (32, 16), "encoder 'vit' takes square pictures, given 32 by 16; set `size: [32, 32]` in its `read`"),
        (
            {"kind": "vit", "patch": 5},
            (8, 8),
            (
                "encoder 'vit': patches of 5 pixels do not divide a picture of 8; `patch` may be 1, 2, 4, 8, or change the picture's "
                "`size` in `read`"
            ),
        ),
    ],
)
def test_a_picture_that_an_encoder_cannot_take_is_told(encoder: Any, size: tuple[int, int], problem: str) -> None:
    assert problems({"image": encoder}, image=ImageRead(size=size)) == [f"model.encoders.image: {problem}"]
    assert problems({"image": encoder if isinstance(encoder, str) else "vit"}, image=ImageRead(size=(64, 64))) == []


def test_checking_a_recipe_tells_of_the_size_that_it_is_read_in() -> None:
    chosen = training(model={"encoders": {"image": "vgg"}}, read={"image": {"size": [8, 8]}})
    assert [problem.partition(" halves")[0] for problem in lint(chosen, {})] == ["model.encoders.image: encoder 'vgg'"]


def test_word_vectors_of_pieces_are_told() -> None:
    vectors = {"text": {"kind": "word_vectors", "weights": "glove.txt"}}
    assert problems(vectors, TextFit(tokenizer="word")) == []
    (problem,) = problems(vectors, TextFit())
    assert "the shards' tokenizer is 'bpe'; set `fit: {text: {tokenizer: word}}` in the shard step" in problem


def test_checking_a_recipe_tells_it() -> None:
    shards = ShardConfig.model_validate({"prepare": {"text": {}}})
    chosen = training(model={"encoders": {"text": {"kind": "word_vectors", "weights": "glove.txt"}}}, read={})
    assert [problem.partition(";")[0] for problem in lint(chosen, {"shards": shards})] == [
        "model.encoders.text: encoder 'word_vectors' needs tokens that are words, and the shards' tokenizer is 'bpe'"
    ]


def test_every_modality_that_can_be_read_is_known_here() -> None:
    assert set(KIN) == set(MODALITIES)
