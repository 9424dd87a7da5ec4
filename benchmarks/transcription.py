"""How well spoken captions are transcribed: the recipe of `examples/transcription`, its transcripts found in three ways.

Reported without a goal: nobody made this corpus for speech recognition. Character and word error rates on the test split, of pictures that
no training saw, with 95 % intervals resampled by picture: along the likeliest path, by beam search, and by beam search with the recipe's
language model; beside what says nothing, and what always says the commonest caption of training. The same seed gives the same model, so
one round is all there is, whatever `--rounds` says.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure
from benchmarks.medley import ROOT
from benchmarks.texts import Made, difference, made, rates, said, true_texts
from tasks.evaluation.texts import character_error_rate, word_error_rate

RECIPE = ROOT / "examples" / "transcription" / "recipe.yaml"
HEAD = "said"


def run(rounds: int) -> dict[str, Any]:  # noqa: ARG001  one round: see above
    """Seconds of the recipe, error rates and their differences."""
    with tempfile.TemporaryDirectory(prefix="medley-transcription-") as folder:
        start = time.perf_counter()
        of = made(RECIPE, Path(folder) / "store")
        seconds = time.perf_counter() - start
        return {"name": "transcription", "ok": True, "ratios": {"recipe_s": measure.metric(seconds, seconds, seconds), **measured(of)}}


def measured(of: Made) -> dict[str, Any]:
    """Metric → its entry, of a model and shards that are there."""
    chosen = of.model.config.heads[HEAD]
    plain = chosen.model_copy(update={"language_model": 0.0, "token_bonus": 0.0})
    ways: dict[str, list[str]] = said(
        of, HEAD, "test", {"path": plain.model_copy(update={"beam_width": 1}), "beam": plain, "language": chosen}
    )
    true, groups = true_texts(of, "test"), of.shards.groups("test")
    commonest = Counter(true_texts(of, "train")).most_common(1)[0][0]
    ways |= {"nothing": [""] * len(true), "commonest": [commonest] * len(true)}
    found: dict[str, Any] = {}
    for name, rate in (("character", character_error_rate), ("word", word_error_rate)):
        entries, drawn = rates(true, ways, groups, rate)
        found |= {f"{name}_error_{way}": entry for way, entry in entries.items()}
        found |= {
            f"{name}_error_{one}_minus_{other}": difference(one, other, entries, drawn)
            for one, other in (("beam", "path"), ("language", "beam"))
        }
    read_before = set(true_texts(of, "train"))
    slices = {"new": [text not in read_before for text in true]}
    slices |= {language: [key.endswith(f"/{language}") for key in of.shards.keys("test")] for language in ("es", "ro")}
    for name, chosen_N in slices.items():
        rows = np.flatnonzero(chosen_N)
        some_true, some_said, some_groups = ([each[row] for row in rows] for each in (true, ways["language"], groups))
        entries, _ = rates(some_true, {name: some_said}, some_groups, character_error_rate)
        found[f"character_error_language_{name}"] = entries[name]
    return found
