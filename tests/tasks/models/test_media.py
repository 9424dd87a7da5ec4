"""Encoders and the media they are given, seen when a recipe is checked."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.modalities import MODALITIES
from tasks.modalities.config import AudioRead, TextFit
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
