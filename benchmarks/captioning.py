"""How well pictures and voices are captioned: the recipe of `examples/captioning`, given both, the picture alone and the voice alone.

Reported without a goal: nobody made this corpus for captioning, and it is small. Character error rate, exact matches and BLEU on the test
split, of pictures that no training saw, with 95 % intervals resampled by picture; beside the commonest caption of training in the sample's
language, which no model is told. The same seed gives the same model, so one round is all there is, whatever `--rounds` says.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks import measure
from benchmarks.medley import ROOT
from benchmarks.texts import Made, difference, made, rates, said, true_texts
from tasks.evaluation.texts import bleu, character_error_rate, exact_match

RECIPE = ROOT / "examples" / "captioning" / "recipe.yaml"
HEAD = "caption"
GIVEN = {"both": ("audio", "image"), "picture": ("image",), "voice": ("audio",)}
RATES = {"character_error": character_error_rate, "exact": exact_match, "bleu": bleu}


def run(rounds: int) -> dict[str, Any]:  # noqa: ARG001  one round: see above
    """Seconds of the recipe, rates and their differences from the baseline."""
    with tempfile.TemporaryDirectory(prefix="medley-captioning-") as folder:
        start = time.perf_counter()
        of = made(RECIPE, Path(folder) / "store")
        seconds = time.perf_counter() - start
        return {"name": "captioning", "ok": True, "ratios": {"recipe_s": measure.metric(seconds, seconds, seconds), **measured(of)}}


def measured(of: Made) -> dict[str, Any]:
    """Metric → its entry, of a model and shards that are there."""
    chosen = of.model.config.heads[HEAD]
    ways = {name: said(of, HEAD, "test", {name: chosen}, given)[name] for name, given in GIVEN.items()}
    ways["greedy"] = said(of, HEAD, "test", {"greedy": chosen.model_copy(update={"beam_width": 1})})["greedy"]
    ways["commonest"] = commonest(of)
    true, groups = true_texts(of, "test"), of.shards.groups("test")
    found: dict[str, Any] = {}
    for name, rate in RATES.items():
        entries, drawn = rates(true, ways, groups, rate)
        found |= {f"{name}_{way}": entry for way, entry in entries.items()}
        found |= {f"{name}_{way}_minus_commonest": difference(way, "commonest", entries, drawn) for way in GIVEN}
    return found


def commonest(of: Made) -> list[str]:
    """For each sample of test the commonest caption of training in its language."""
    train, test = ([key.rsplit("/", 1)[1] for key in of.shards.keys(split)] for split in ("train", "test"))
    counts: dict[str, Counter[str]] = {language: Counter() for language in train}
    for language, text in zip(train, true_texts(of, "train"), strict=True):
        counts[language][text] += 1
    return [counts[language].most_common(1)[0][0] for language in test]
