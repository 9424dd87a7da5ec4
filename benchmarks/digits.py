"""What the demo reaches: its wall time, its accuracy, and what fusing adds over each modality alone.

Goals (2 cores, after installation): the demo recipe from raw files to a promoted model in 300 s; fused accuracy on the test split at
least 0.90; and fused better than the best single modality, each single one trained alone on the same budget: the lower end of the
paired 95 % interval of the difference, resampled by picture, is above zero. "Best" is chosen on the test split itself, in favour of
the single modality. The same seed gives the same models, and a round takes minutes, so this benchmark does one round whatever
`--rounds` says; the intervals are those of the test set, not of repetitions.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import yaml

from benchmarks import measure
from benchmarks.medley import RECIPE, ROOT, medley

HEAD = "digit"
DEMO_GOAL_S = 300.0
ACCURACY_GOAL = 0.90


def run(rounds: int) -> dict[str, Any]:  # noqa: ARG001  one round: see above
    """Seconds, accuracies and differences; `fused_minus_best_single` is met when its `low` is above 0."""
    train = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["steps"]["model"]
    with tempfile.TemporaryDirectory(prefix="medley-digits-") as folder:
        store = Path(folder) / "store"
        start = time.perf_counter()
        fused = report(store, [])
        demo_s = time.perf_counter() - start
        singles = {modality: report(store, [*alone(train, modality), "--until", "report"]) for modality in train["model"]["encoders"]}
        return document(demo_s, fused, singles)


def alone(train: dict[str, Any], modality: str) -> list[str]:
    """Options that leave the train step one modality and everything else as it is."""
    kept = {"model.encoders": train["model"]["encoders"], "read": train.get("read", {}), "augment": train.get("augment", {})}
    chosen = {path: {name: config for name, config in configs.items() if name == modality} for path, configs in kept.items() if configs}
    return [part for path, config in chosen.items() for part in ("--set", f"steps.model.{path}={json.dumps(config)}")]


def report(store: Path, options: list[str], recipe: Path = RECIPE, heads: Sequence[str] = (HEAD,)) -> dict[str, Any]:
    """Run a recipe; the `report` step of its `--json` document, with the predictions of these heads read in."""
    outcome = measure.run([medley(), "run", recipe, "--store", store, "--json", *options], cwd=ROOT)
    measure.check(outcome)
    step: dict[str, Any] = json.loads(outcome.stdout)["steps"]["report"]
    columns = ["key", "group", *(f"{head}.{name}" for head in heads for name in ("label", "prediction"))]
    table = pq.read_table(Path(step["artifact"]) / "predictions.parquet", columns=columns)
    return step | {"predictions": table.sort_by("key").to_pydict()}


def document(demo_s: float, fused: dict[str, Any], singles: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The benchmark's last line from the demo's report and those of the single modalities."""
    ratios = {
        "demo_s": measure.metric(demo_s, demo_s, demo_s, goal=DEMO_GOAL_S),
        "fused_accuracy": accuracy(fused, goal=ACCURACY_GOAL),
    }
    for modality, single in singles.items():
        ratios[f"{modality}_alone_accuracy"] = accuracy(single)
    best = max(singles, key=lambda modality: ratios[f"{modality}_alone_accuracy"]["median"])
    value, low, high = paired_difference(fused["predictions"], singles[best]["predictions"])
    ratios["fused_minus_best_single"] = measure.metric(value, low, high, goal=0.0, ok=low > 0)
    return {"name": "digits", "ok": all(entry["ok"] for entry in ratios.values()), "ratios": ratios}


def accuracy(step: dict[str, Any], goal: float | None = None, head: str = HEAD) -> dict[str, Any]:
    """The accuracy and interval that the report itself states."""
    stated = step["summary"]["heads"][head]
    return measure.metric(stated["accuracy"], *stated["interval"], goal=goal, sense="at least")


def paired_difference(
    a: dict[str, list[Any]], b: dict[str, list[Any]], resamples: int = 10_000, head: str = HEAD
) -> tuple[float, float, float]:
    """Accuracy of `a` minus accuracy of `b` on the same rows, and its 95 % interval from resampling whole groups.

    Rows of one group (one picture with several voices) are not independent, so groups are drawn, each with all its rows.
    """
    if a["key"] != b["key"]:
        raise RuntimeError("the two models were not evaluated on the same samples, so their difference means nothing")
    right = [np.asarray(side[f"{head}.prediction"]) == np.asarray(side[f"{head}.label"]) for side in (a, b)]
    _, group = np.unique(np.asarray(a["group"]), return_inverse=True)
    rows = np.bincount(group).astype(np.float64)
    gained = np.bincount(group, weights=right[0].astype(np.float64) - right[1])
    drawn = np.random.default_rng(0).integers(0, len(rows), (resamples, len(rows)))
    low, high = np.quantile(gained[drawn].sum(axis=1) / rows[drawn].sum(axis=1), [0.025, 0.975])
    return float(gained.sum() / rows.sum()), float(low), float(high)
