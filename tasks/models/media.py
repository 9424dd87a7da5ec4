"""Whether encoders are made for the media that they are given, as these are read, seen from the configs alone. In: configs. Out: words.

Read when a recipe is checked, so it imports no torch. Encoders of the user's own are taken to know their medium.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.models.encoders import ENCODERS

KIN: Mapping[str, frozenset[str]] = {
    "image": frozenset({"image"}),
    "text": frozenset({"text"}),
    "audio": frozenset({"audio", "waveform"}),
}
"""Modality → what encoders of it say that they are made for."""
OF_BANDS = frozenset({"cnn_lstm", "crnn", "spectrogram_cnn", "conformer"})
"""Encoders that convolve over the features of a frame, of which a waveform has one."""
MOST_ATTENDED = 10_000
"""Samples of sound that a `transformer` lets attend to each other at most: what that costs grows with their square."""


def misplaced(encoders: Mapping[str, Any], read: Mapping[str, Any], fits: Mapping[str, Any]) -> list[str]:
    """Encoders for another medium, for another reading of it, or for another fit."""
    problems = []
    for modality, encoder in sorted(encoders.items()):
        media = set(getattr(encoder, "media", ()))
        kin = KIN.get(modality)
        if encoder.kind not in ENCODERS or kin is None:
            continue
        if not media & kin:
            others = [kind for kind, entry in ENCODERS.items() if kin & set(getattr(entry.config, "media", ()))]
            problems.append(
                f"model.encoders.{modality}: encoder {encoder.kind!r} is made for {', '.join(sorted(media))}; "
                f"for {modality} there are {', '.join(others)}"
            )
        elif media == {"waveform"} and getattr(read.get(modality), "features", None) != "waveform":
            problems.append(
                f"model.encoders.{modality}: encoder {encoder.kind!r} takes samples of sound, not spectral frames; "
                f"set `read: {{{modality}: {{features: waveform}}}}`, or choose another encoder"
            )
        elif getattr(read.get(modality), "features", None) == "waveform" and (problem := _of_samples(encoder.kind, read[modality])):
            problems.append(f"model.encoders.{modality}: {problem}")
        elif encoder.kind == "word_vectors" and modality in fits and getattr(fits[modality], "tokenizer", "word") != "word":
            problems.append(
                f"model.encoders.{modality}: encoder 'word_vectors' needs tokens that are words, and the shards' tokenizer is "
                f"{fits[modality].tokenizer!r}; set `fit: {{text: {{tokenizer: word}}}}` in the shard step"
            )
        if hasattr(encoder, "unfit") and hasattr(read.get(modality), "size") and (problem := encoder.unfit(*read[modality].size)):
            problems.append(f"model.encoders.{modality}: {problem}")
    return problems


def _of_samples(kind: str, read: Any) -> str:
    """What is wrong with the samples of sound for an encoder; empty = nothing."""
    if kind in OF_BANDS:
        return (
            f"encoder {kind!r} looks at the bands of spectral frames, and the sound is read as samples, one number a step; choose "
            "'waveform_cnn', or leave `features: waveform` out of its `read`"
        )
    most = int(read.max_seconds * read.rate_hz)
    if kind != "transformer" or most <= MOST_ATTENDED:
        return ""
    return (
        f"encoder 'transformer' lets all samples of a sound attend to each other, and `max_seconds` times `rate_hz` are {most:,}, where "
        f"{MOST_ATTENDED:,} can be; choose 'waveform_cnn', leave `features: waveform` out of its `read`, or lower `max_seconds`"
    )
