"""Texts that are longer than what tells them, and tags that match no tokens, are counted before a training starts, and refused when there
are no others.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.contracts import Artifact
from tasks.errors import InputError
from tasks.shards.joined import open_shards
from tasks.training.checks import probe_model
from tasks.training.reach import check_reach
from tasks.training.sources import Sources, fits
from tests.tasks.models.encoders.conftest import tiny_bert
from tests.tasks.training.example import config


def notes_of(shards: Artifact, audio: dict[str, Any], max_tokens: int, **head: Any) -> list[str]:
    heads = {"said": {"kind": "ctc", "target": "text", "of": "audio", **head}}
    read = {"audio": {"rate_hz": 8000, "num_mels": 16}, "text": {"max_tokens": max_tokens}}
    given = config(model={"encoders": {"audio": audio}, "heads": heads}, read=read)
    shard_set = open_shards([shards.path], ())
    notes: list[str] = []
    shapes, labels, _ = probe_model(given, shard_set, Sources(), notes.append)
    check_reach(given, shard_set, shapes, labels, fits(given, shard_set, Sources()), notes.append)
    return notes


def test_texts_that_no_sound_is_long_enough_for_are_refused_with_a_way_out(shards: Artifact) -> None:
    with pytest.raises(
        InputError,
        match=r"head 'said': 55 of 55 texts that were looked at have more tokens than the audio that tells them, so that nothing can be "
        r"learned; take an encoder of audio that leaves more tokens \(`crnn` keeps every frame\)",
    ):
        notes_of(shards, {"kind": "cnn_lstm", "channels": [8, 8]}, 12)


def test_texts_that_are_longer_than_their_own_sound_are_told_of(shards: Artifact) -> None:
    """Of the 64 that are looked at, 9 have no sound: nothing tells them, and no encoder is to blame."""
    (note,) = notes_of(shards, {"kind": "crnn", "channels": [4]}, 12)
    assert note.startswith("head 'said': 26 of 55 texts that were looked at have more tokens than the audio that tells them, and are")


def test_nothing_is_told_when_every_text_can_be_said(shards: Artifact) -> None:
    assert notes_of(shards, {"kind": "crnn", "channels": [4]}, 8) == []


@pytest.mark.parametrize(("max_tokens", "align"), [(12, "token"), (12, "stretch"), (40, "token")])
def test_tags_that_do_not_match_the_tokens_are_refused_unless_they_are_stretched(shards: Artifact, max_tokens: int, align: str) -> None:
    heads = {"characters": {"kind": "tagging", "of": "text", "align": align}}
    given = config(model={"heads": heads}, read={"text": {"max_tokens": max_tokens}})
    shard_set = open_shards([shards.path], ())
    shapes, labels, _ = probe_model(given, shard_set, Sources(), [].append)
    found = (given, shard_set, shapes, labels, fits(given, shard_set, Sources()), [].append)
    if (max_tokens, align) != (12, "token"):
        check_reach(*found)
        return
    with pytest.raises(
        InputError,
        match=r"head 'characters': (\d+) of \1 samples that were looked at have not as many tags as the encoder of text gives tokens, so "
        r"that nothing can be learned; read the text in the units that the tags are of \(`tokenizer: word`, .*set `align: stretch`",
    ):
        check_reach(*found)


def test_an_encoder_of_hugging_face_is_looked_through_as_others_are(shards: Artifact, tmp_path: Path) -> None:
    text = {"kind": "hf_text", "model": str(tiny_bert(tmp_path / "bert"))}
    heads = {"characters": {"kind": "tagging", "of": "text", "align": "stretch"}}
    given = config(model={"encoders": {"text": text}, "heads": heads}, read={"text": {"max_tokens": 12}})
    shard_set = open_shards([shards.path], ())
    shapes, labels, _ = probe_model(given, shard_set, Sources(), [].append)
    check_reach(given, shard_set, shapes, labels, fits(given, shard_set, Sources()), [].append)


def test_a_language_model_that_the_shards_lack_is_missed_before_training(shards: Artifact) -> None:
    with pytest.raises(InputError, match="weighs transcripts by a language model, and none was learned from the text"):
        notes_of(shards, {"kind": "crnn", "channels": [4]}, 8, beam_width=8, language_model=0.5)
