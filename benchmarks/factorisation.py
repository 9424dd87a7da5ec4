"""What joint matrix factorisation makes of the demo's three modalities: a baseline without gradients for shared representations.

Reported without a goal. Features: the picture's 64 cells, 20 log-mel bands in 8 parts of the sound, how often each token comes. The same
logistic regression is asked for the digit of the test split by three representations: the shared vector of the factorisation, fitted on
the training split alone; a principal component analysis of the same size over all features side by side, gaps filled by means; those
features themselves. Once with all modalities, and once where each is hidden in training and test with chance 0.4, one always staying.
The ridge is chosen on the validation split. Also: how much of the variance of the picture is said from the sound and the caption alone.
One round, since the same seed gives the same numbers; intervals are those of the test set, resampled by picture.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import measure
from benchmarks.digits import paired_difference
from benchmarks.medley import RECIPE, ROOT, medley
from tasks.models.baselines.joint_factorisation import JointFactorisation, fit

RANK = 32
RIDGES = (0.1, 0.3, 1.0, 3.0)
ROUNDS = 20
HIDDEN = 0.4
"""Chance that a modality of a sample is hidden; one always stays."""
READ: dict[str, dict[str, Any]] = {
    "audio": {"features": "log_mel", "rate_hz": 8000, "num_mels": 20},
    "image": {"size": [8, 8], "channels": 1},
    "text": {"max_tokens": 16},
}
CELLS = 8
"""Parts that a sound is averaged over."""

Matrix = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class Split:
    """Features, labels and pictures of the samples of one split."""

    def __init__(self, features: dict[str, Matrix], digits: npt.NDArray[np.int64], groups: list[str], keys: list[str]) -> None:
        self.features, self.digits, self.groups, self.keys = features, digits, groups, keys

    def hidden(self, chance: float, seed: int) -> dict[str, Flags]:
        """Modality → which samples show it; one of each sample always stays."""
        drawn = np.random.default_rng(seed).random((len(self.keys), len(self.features)))
        kept = (drawn >= chance) | (drawn == drawn.max(1, keepdims=True))
        return {name: kept[:, place] for place, name in enumerate(sorted(self.features))}


def run(rounds: int) -> dict[str, Any]:  # noqa: ARG001  one round: see above
    """Accuracies of three representations, with all modalities and with gaps; the variance of pictures that is said without them."""
    with tempfile.TemporaryDirectory(prefix="medley-factorisation-") as folder:
        store = Path(folder) / "store"
        measure.check(measure.run([medley(), "run", RECIPE, "--store", store, "--until", "shards"], cwd=ROOT))
        (shards,) = (path.parent for path in store.glob("artifacts/*/*/shards.json"))
        train, val, test = (split(shards, name) for name in ("train", "val", "test"))
    return {"name": "factorisation", "ok": True, "ratios": ratios(train, val, test)}


def ratios(train: Split, val: Split, test: Split) -> dict[str, Any]:
    """With all modalities, with gaps, and the picture said from the others."""
    whole, gaps = ridge_of(train, val, 0.0), ridge_of(train, val, HIDDEN)
    chosen = {"all_ridge": measure.metric(whole, whole, whole), "gaps_ridge": measure.metric(gaps, gaps, gaps)}
    return {**compared(train, test, 0.0, whole), **compared(train, test, HIDDEN, gaps), **said(train, test, gaps), **chosen}


def split(shards: Path, name: str) -> Split:
    """Read one split of the shards as features."""
    from tasks.modalities import MODALITIES
    from tasks.models.load import build_readers
    from tasks.models.objectives.fixed_views import FixedView
    from tasks.shards.joined import open_shards
    from tasks.shards.loader import Loader

    shard_set = open_shards([shards], ())
    readers = build_readers(
        {modality: MODALITIES[modality].read.model_validate(given) for modality, given in READ.items()},
        {modality: shard_set.fit(modality) for modality in READ},
    )
    views = {modality: FixedView(modality, reader.shape, CELLS) for modality, reader in readers.items()}
    found: dict[str, list[Matrix]] = {modality: [] for modality in READ}
    digits, keys = [], []
    loader = Loader(shard_set, name, readers, {"digit": shard_set.meta["labels"]["digit"]}, batch_size=256)
    for batch in loader.evaluation():
        counts = (batch.weight > 0).numpy()
        for modality, view in views.items():
            found[modality].append(view.of(batch.inputs[modality]).double().numpy()[counts])
        digits.append(batch.labels["digit"].numpy()[counts])
        keys += [key for key, kept in zip(batch.keys, counts, strict=True) if kept]
    groups = [key.rsplit("-", 1)[0] for key in keys]
    return Split({modality: np.concatenate(parts) for modality, parts in found.items()}, np.concatenate(digits), groups, keys)


def ridge_of(train: Split, val: Split, chance: float) -> float:
    """The ridge whose shared vectors are asked best on the validation split."""
    right = {}
    for ridge in RIDGES:
        model, shown = _fitted(train, val, chance, ridge)
        answers = _asked(train, val, model.shared(train.features, shown[0]), model.shared(val.features, shown[1]))
        right[ridge] = float((answers["digit.prediction"] == val.digits).mean())
    return max(right, key=lambda ridge: right[ridge])


def compared(train: Split, test: Split, chance: float, ridge: float) -> dict[str, Any]:
    """Accuracy of each representation where modalities are hidden with this chance, and what factorising brings over PCA."""
    model, shown = _fitted(train, test, chance, ridge)
    stacked = [_filled(given.features, there, train.features, shown[0]) for given, there in zip((train, test), shown, strict=True)]
    centre = stacked[0].mean(0)
    axes = np.linalg.svd(stacked[0] - centre, full_matrices=False)[2][:RANK].T
    predicted = {
        "factorisation": _asked(train, test, model.shared(train.features, shown[0]), model.shared(test.features, shown[1])),
        "pca": _asked(train, test, *((values - centre) @ axes for values in stacked)),
        "features": _asked(train, test, *stacked),
    }
    prefix = "all" if chance == 0 else "gaps"
    chances = {"key": test.keys, "group": test.groups, "digit.label": test.digits, "digit.prediction": np.full(len(test.keys), -1)}
    found = {f"{prefix}_{name}_accuracy": measure.metric(*paired_difference(each, chances)) for name, each in predicted.items()}
    for other in ("pca", "features"):
        found[f"{prefix}_factorisation_minus_{other}"] = measure.metric(*paired_difference(predicted["factorisation"], predicted[other]))
    return found


def said(train: Split, test: Split, ridge: float) -> dict[str, Any]:
    """Share of the variance of test pictures that their sound and caption say."""
    model, _ = _fitted(train, test, 0.0, ridge)
    there = {name: np.full(len(test.keys), name != "image") for name in test.features}
    picture = test.features["image"]
    share = (
        1 - np.square(model.said(model.shared(test.features, there), "image") - picture).sum() / np.square(picture - picture.mean(0)).sum()
    )
    return {"picture_said_from_the_others": measure.metric(share, share, share)}


def _fitted(
    train: Split, other: Split, chance: float, ridge: float
) -> tuple[JointFactorisation, tuple[dict[str, Flags], dict[str, Flags]]]:
    shown = [given.hidden(chance, seed) for seed, given in enumerate((train, other))]
    return fit(train.features, shown[0], RANK, ridge=ridge, rounds=ROUNDS), shown


def _filled(features: dict[str, Matrix], shown: dict[str, Flags], of: dict[str, Matrix], shown_of: dict[str, Flags]) -> Matrix:
    """All features side by side, standardised as the factorisation has them; those of a hidden modality are the training mean."""
    found = []
    for name in sorted(features):
        known = of[name][shown_of[name]]
        found.append(np.where(shown[name][:, None], features[name] - known.mean(0), 0.0) / np.sqrt(known.var(0).sum()))
    return np.concatenate(found, axis=1)


def _asked(train: Split, test: Split, inputs: Matrix, questions: Matrix) -> dict[str, Any]:
    """What logistic regression predicts, as a table of predictions."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(inputs)
    model = LogisticRegression(max_iter=2000).fit(scaler.transform(inputs), train.digits)
    answers = model.predict(scaler.transform(questions))
    return {"key": test.keys, "group": test.groups, "digit.label": test.digits, "digit.prediction": answers}
