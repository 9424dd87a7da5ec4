"""What is true of each sample of a split, for every head of a model whose truth lies in the shards' labels or in what samples have.

In: a loaded model and a shard set. Out: head → an array, as the kinds of heads have it; of heads that learn to say a modality the stored
texts. Everything is checked before anything is predicted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.errors import LabelError
from tasks.evaluation.gather import scorer_of
from tasks.evaluation.labels import strange_labels, true_labels, true_parts
from tasks.evaluation.measures import MEASURED, UNMEASURED, kind_of
from tasks.registry import closest
from tasks.shards.label_arrays import KINDS

if TYPE_CHECKING:
    from tasks.evaluate import StrangeConfig
    from tasks.models.load import LoadedModel
    from tasks.shards.read import ShardSet


def true_of_heads(loaded: LoadedModel, shard_set: ShardSet, split: str, anomalies: Mapping[str, StrangeConfig]) -> dict[str, NDArray[Any]]:
    """Head → what is true, N first. Raises LabelError for labels that are missing, unreadable or unknown to the model."""
    strange = [head for head in loaded.labels if kind_of(loaded.config.heads[head].kind) == "anomaly"]
    for head in anomalies:
        if head not in strange:
            raise LabelError(
                f"anomalies: {head!r} is not an anomaly head of the model; its anomaly heads are: {', '.join(strange) or 'none'}"
                f"{closest(head, strange)}"
            )
    found = {}
    for head in loaded.labels:
        true = _true(head, loaded, shard_set, split, anomalies.get(head))
        if true is not None:
            found[head] = true
    return found


def own_infos(loaded: LoadedModel) -> dict[str, Any]:
    """What heads of the user's own learn from, for the loss that may be all that can be measured of them."""
    return {
        head: info
        for head, info in loaded.labels.items()
        if kind_of(loaded.config.heads[head].kind) == UNMEASURED and info["kind"] in KINDS
    }


def _true(head: str, loaded: LoadedModel, shard_set: ShardSet, split: str, asked: StrangeConfig | None) -> NDArray[Any] | None:
    info, kind = loaded.labels[head], kind_of(loaded.config.heads[head].kind)
    labels = shard_set.labels(split)
    if info["kind"] in ("category", "number"):
        return true_labels(head, info, labels, split)
    if info["kind"] == "sequence":
        return _texts(head, info["modality"], loaded, shard_set, split)
    if kind == "retrieval":
        return _contents(head, loaded, shard_set, split)
    if kind == "anomaly":
        label = head if asked is None or asked.label is None else asked.label
        if asked is None and label not in labels:
            return None
        trained = shard_set.meta["labels"].get(label, {}).get("classes", ())
        return strange_labels(head, label, () if asked is None else asked.normal, labels, split, trained)
    if MEASURED.get(kind) is not None:
        keys = shard_set.keys(split)
        return scorer_of(loaded, head).true(true_parts(head, info, labels, split, lambda row: keys[row]))
    return None


def _texts(head: str, modality: str, loaded: LoadedModel, shard_set: ShardSet, split: str) -> NDArray[Any] | None:
    """N: what is stored of the modality that the head learns to say; None for a head that is measured by its loss."""
    if modality not in shard_set.modalities:
        raise LabelError(
            f"the model says {head!r} as {modality}, but the shards have no {modality}; they have: {', '.join(shard_set.modalities)}. "
            f"Evaluate on shards with {modality}, or train without that head"
        )
    if not shard_set.present(split)[modality].any():
        raise LabelError(
            f"no sample of split {split!r} has {modality}, so there is nothing to compare {head!r} with; evaluate another split"
        )
    if kind_of(loaded.config.heads[head].kind) == UNMEASURED:
        return None
    samples = shard_set.stream(split, range(shard_set.num_samples(split)), modalities=[modality])
    return scorer_of(loaded, head).true([sample.members.get(modality) for sample in samples])


def _contents(head: str, loaded: LoadedModel, shard_set: ShardSet, split: str) -> NDArray[Any]:
    """NM: which samples have the same picture, text or sound; -1 = none."""
    scorer: Any = scorer_of(loaded, head)
    held, nothing = shard_set.contents(split), np.full(shard_set.num_samples(split), -1, dtype=np.int64)
    contents_NM = np.stack([held.get(name, nothing) for name in scorer.modalities], axis=1)
    if not scorer.known(contents_NM).any():
        raise LabelError(
            f"no sample of split {split!r} has two of {', '.join(scorer.modalities)}, so {head!r} has nothing to find; evaluate on shards "
            "that have them"
        )
    return contents_NM
