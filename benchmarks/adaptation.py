"""Whether recordings without labels help with a new voice: the recipe of `examples/adaptation`, each speaker being the new one in turn.

Reported without a goal. For each of six speakers the recipe's model is trained without an objective, with `domain_adversarial` and with
`domain_coral`, from the same seeds on the same batches, to the end of its steps. Each is then asked for the digits of the new speaker's
recordings that no training saw. A number is the mean over speakers of the mean over seeds; its interval is Student's over the speakers,
since another voice is what one wants to know about. `speakers` has each by itself. Recordings are decoded once for all trainings, which
changes nothing but the time. One round is all there is, whatever `--rounds` says. FSDD_ZIP in the environment: where the recordings are.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from scipy import stats

from benchmarks import measure
from benchmarks.answered import right
from benchmarks.medley import ROOT
from benchmarks.trainings import shards, train_config, trained
from tasks.shards.read import ShardSet

RECIPE = ROOT / "examples" / "adaptation" / "recipe.yaml"
HEAD = "digit"


def run(rounds: int, folder: Path | None = None) -> dict[str, Any]:  # noqa: ARG001  one round: see above
    """Accuracy on new voices of each method. `folder`: keeps shards and trainings, so that a measurement that was broken off goes on."""
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="medley-adaptation-") as name:
            return run(1, Path(name))
    steps = yaml.safe_load(RECIPE.read_text(encoding="utf-8"))["steps"]
    made = shards(RECIPE, folder / "store", archive())
    speakers = {name.removeprefix("shards[source.new=").removesuffix("]"): ShardSet.open(path) for name, path in made.items()}
    known: dict[tuple[str, str], dict[bytes, Any]] = {}
    found: dict[str, dict[str, list[float]]] = {}
    for seed in steps["model"]["matrix"]["seed"]:
        for speaker, shard_set in speakers.items():
            for objectives in steps["model"]["matrix"]["model.objectives"]:
                config, method = train_config(steps["model"], {"objectives": objectives}), method_of(objectives)
                model = trained(config, shard_set, folder / f"{speaker}-{method}-{seed}", seed, known)
                found.setdefault(method, {}).setdefault(speaker, []).append(float(right(model, HEAD).mean()))
    return document(found)


def method_of(objectives: Mapping[str, Any]) -> str:
    return next((objective["kind"] for objective in objectives.values()), "none")


def archive() -> list[str]:
    """Options that name the recordings. RuntimeError when the environment does not."""
    if "FSDD_ZIP" not in os.environ:
        raise RuntimeError("adaptation needs recordings that Medley does not come with; let FSDD_ZIP name their zip (examples/adaptation)")
    return ["--set", f"steps.corpus.source.archive={Path(os.environ['FSDD_ZIP']).absolute()}"]


def document(found: Mapping[str, Mapping[str, list[float]]]) -> dict[str, Any]:
    """The benchmark's last line. `found`: method → speaker → the accuracy from each seed."""
    means = {method: np.array([np.mean(each) for each in speakers.values()]) for method, speakers in found.items()}
    ratios = {f"{method}_accuracy": _over_speakers(values) for method, values in means.items()}
    ratios |= {f"{method}_minus_none": _over_speakers(values - means["none"]) for method, values in means.items() if method != "none"}
    return {"name": "adaptation", "ok": True, "ratios": ratios, "speakers": found}


def _over_speakers(values: NDArray[Any]) -> dict[str, Any]:
    """Mean, and its 95 % interval where speakers are drawn from all there are."""
    middle = float(values.mean())
    reach = float(stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values)))
    return measure.metric(middle, middle - reach, middle + reach)
