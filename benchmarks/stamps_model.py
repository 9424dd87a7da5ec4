"""What fusing adds on a real corpus: the recipe of `examples/stamps`, and each of its modalities trained alone on the same budget.

Reported without a goal: nobody made this corpus so that fusing wins. For each class head the accuracy on the test split of the fused model
and of each single modality, and fused minus the best of them ("best" chosen on the test split itself, in favour of the single modality),
paired by picture; for the number head the error. The same seed gives the same models, so one round is all there is, whatever `--rounds`
says; intervals are those of the test set, resampled by picture.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from benchmarks import measure
from benchmarks.digits import accuracy, alone, paired_difference, report
from benchmarks.stamps import RECIPE

CLASSES = ("category", "language")
NUMBER = "area"


def run(rounds: int) -> dict[str, Any]:  # noqa: ARG001  one round: see above
    """Seconds of the recipe; accuracies, errors and differences."""
    train = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["steps"]["model"]
    with tempfile.TemporaryDirectory(prefix="medley-stamps-model-") as folder:
        store = Path(folder) / "store"
        start = time.perf_counter()
        fused = report(store, [], RECIPE, CLASSES)
        recipe_s = time.perf_counter() - start
        singles = {modality: report(store, alone(train, modality), RECIPE, CLASSES) for modality in train["model"]["encoders"]}
    ratios = {"recipe_s": measure.metric(recipe_s, recipe_s, recipe_s)}
    for head in CLASSES:
        ratios |= _compared(head, fused, singles)
    for name, step in {"fused": fused, **{f"{modality}_alone": single for modality, single in singles.items()}}.items():
        stated = step["summary"]["heads"][NUMBER]
        ratios[f"{NUMBER}_{name}_rmse"] = measure.metric(stated["rmse"], *stated["interval"])
    return {"name": "stamps_model", "ok": True, "ratios": ratios, "subsets": _subsets(fused)}


def _compared(head: str, fused: dict[str, Any], singles: dict[str, dict[str, Any]]) -> dict[str, Any]:
    ratios = {f"{head}_fused": accuracy(fused, head=head)}
    ratios |= {f"{head}_{modality}_alone": accuracy(single, head=head) for modality, single in singles.items()}
    best = max(singles, key=lambda modality: ratios[f"{head}_{modality}_alone"]["median"])
    difference = paired_difference(fused["predictions"], singles[best]["predictions"], head=head)
    return ratios | {f"{head}_fused_minus_{best}": measure.metric(*difference)}


def _subsets(fused: dict[str, Any]) -> dict[str, dict[str, float]]:
    """What the fused model does when it is given only some modalities: accuracy or error of each head."""
    heads = fused["summary"]["heads"]
    return {
        head: {subset: round(entry["rmse" if head == NUMBER else "accuracy"], 4) for subset, entry in heads[head]["by_modalities"].items()}
        for head in (*CLASSES, NUMBER)
    }
