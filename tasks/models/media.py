"""Whether encoders are made for the media that they are given, seen from the configs alone. In: configs. Out: problems, in words.

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
        elif encoder.kind == "word_vectors" and modality in fits and getattr(fits[modality], "tokenizer", "word") != "word":
            problems.append(
                f"model.encoders.{modality}: encoder 'word_vectors' needs tokens that are words, and the shards' tokenizer is "
                f"{fits[modality].tokenizer!r}; set `fit: {{text: {{tokenizer: word}}}}` in the shard step"
            )
    return problems
