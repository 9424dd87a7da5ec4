"""One probing from artifacts to files: features of two splits, probes fitted on one and measured on the other.

In: a model and shards. Out: `probes.json`, `probes.html` and the step's summary. Must not import ray or mlflow.

    label, split, classes, samples, train_samples
    majority         {accuracy, interval}    always the commonest class of train
    head             the same of the model's own head for this label, or null
    features         {fused or a modality: {width, and for each probe {accuracy, interval}}}

Shape suffixes: N samples, D width.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.contracts import FORMAT_VERSION, Inputs, ModalityBatch, Summary, TaskContext
from tasks.errors import InputError, LabelError, Stopped
from tasks.evaluation.intervals import Bootstrap, interval, resampled_sums
from tasks.evaluation.labels import class_indices
from tasks.models.load import LoadedModel, load_model
from tasks.models.targets import label_of
from tasks.probing.classifiers import classifier
from tasks.probing.page import page
from tasks.registry import closest
from tasks.shards.loader import Loader
from tasks.shards.read import ShardSet

if TYPE_CHECKING:
    from tasks.probe import ProbeConfig


class Encoded(NamedTuple):
    """One split as a frozen model sees it; samples without the label are left out."""

    features: dict[str, NDArray[np.float32]]
    """`fused` or a modality → ND. A missing modality is the learned token."""
    classes_N: NDArray[np.int64]
    groups_N: NDArray[Any]
    head_N: NDArray[np.int64] | None
    """What the model's own head for the label says."""


def run(config: ProbeConfig, inputs: Inputs, output_dir: Path, context: TaskContext) -> Summary:
    """See `tasks.probe.probe`."""
    torch.set_num_threads(context.resources.cpus)
    shard_set = ShardSet.open(inputs["shards"].path)
    loaded = load_model(inputs["model"].path, "cuda" if context.resources.gpus and torch.cuda.is_available() else "cpu")
    classes = _classes(config.label, shard_set)
    train, other = (_encode(config, loaded, shard_set, split, classes, context) for split in ("train", config.split))
    if len(set(train.classes_N.tolist())) < 2:
        raise LabelError(
            f"the split 'train' has one class of {config.label!r} alone, and a probe tells classes apart; take another label, or split the "
            "corpus otherwise"
        )
    bootstrap = Bootstrap(config.resamples, config.confidence, context.seed)

    def measured(said_N: NDArray[np.int64]) -> dict[str, Any]:
        right_N1 = (said_N == other.classes_N).astype(np.float64)[:, None]
        columns_N2 = np.concatenate([right_N1, np.ones_like(right_N1)], axis=1)
        sums_R2 = resampled_sums(columns_N2, other.groups_N, bootstrap)
        return {"accuracy": float(right_N1.mean()), "interval": interval(sums_R2[:, 0] / sums_R2[:, 1], other.groups_N, bootstrap)}

    features: dict[str, Any] = {}
    done, total = 0, len(train.features) * len(config.probes)
    for name, train_ND in train.features.items():
        features[name] = {"width": int(train_ND.shape[1])}
        for kind in config.probes:
            _check_stop(context)
            fitted = classifier(kind, config, context.seed).fit(train_ND, train.classes_N)
            features[name][kind] = measured(np.asarray(fitted.predict(other.features[name]), dtype=np.int64))
            done += 1
            context.sink.progress(done, total, "probes", f"{kind} on {name}")
    commonest = int(np.bincount(train.classes_N, minlength=len(classes)).argmax())
    report = {
        "format": FORMAT_VERSION,
        "label": config.label,
        "split": config.split,
        "classes": list(classes),
        "samples": len(other.classes_N),
        "train_samples": len(train.classes_N),
        "confidence": config.confidence,
        "model": {"key": inputs["model"].key, "step": inputs["model"].step},
        "majority": measured(np.full(len(other.classes_N), commonest, dtype=np.int64)),
        "head": None if other.head_N is None else measured(other.head_N),
        "features": features,
    }
    (output_dir / "probes.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    (output_dir / "probes.html").write_text(page(report), encoding="utf-8")
    return {name: report[name] for name in ("label", "split", "samples", "train_samples", "majority", "head", "features")}


def _classes(label: str, shard_set: ShardSet) -> list[str]:
    """The label's classes. Raises LabelError."""
    labels = shard_set.meta["labels"]
    if label not in labels:
        raise LabelError(
            f"the shards have no label {label!r}{closest(label, list(labels))}; labels there are: {', '.join(sorted(labels)) or 'none'}"
        )
    if "classes" not in labels[label]:
        raise LabelError(f"label {label!r} is no category, and probes tell classes apart; take a label with classes")
    return [str(name) for name in labels[label]["classes"]]


def _encode(config: ProbeConfig, loaded: LoadedModel, shard_set: ShardSet, split: str, classes: list[str], context: TaskContext) -> Encoded:
    lacking = sorted(set(loaded.model.modalities) - set(shard_set.modalities))
    if lacking:
        raise InputError(f"the shards lack {', '.join(lacking)}, which the model reads; probe it on shards that were prepared for it")
    classes_N = class_indices(shard_set.labels(split)[config.label], classes)
    if not (classes_N >= 0).any():
        raise InputError(f"no sample of the split {split!r} has the label {config.label!r}; choose another `split` or label")
    readers = {name: loaded.readers[name] for name in loaded.model.modalities}
    loader = Loader(shard_set, split, readers, {}, batch_size=config.batch_size)
    head = _own_head(config.label, loaded, classes)
    parts: dict[str, list[NDArray[np.float32]]] = {}
    said: list[NDArray[np.int64]] = []
    model, device, done = loaded.model, next(loaded.model.parameters()).device, 0
    with torch.inference_mode():
        for batch in loader.evaluation():
            _check_stop(context)
            given = {
                name: ModalityBatch(each.values.to(device), None if each.lengths is None else each.lengths.to(device))
                for name, each in batch.inputs.items()
            }
            present_BM = model.present_BM(batch).to(device)
            seen = model.features(model.encode(given, present_BM), present_BM)
            kept = (batch.weight > 0).numpy()
            means = {"fused": seen.fused, **seen.towers}
            for name in _wanted(config.features, model.modalities):
                parts.setdefault(name, []).append(means[name].mean_BD().float().cpu().numpy()[kept])
            if head is not None:
                said.append(model.head(head).predict(model.head(head)(seen)).argmax(1).cpu().numpy()[kept])
            done += int(kept.sum())
            context.sink.progress(done, len(classes_N), "samples", f"encoding {split}")
    labelled = classes_N >= 0
    return Encoded(
        {name: np.concatenate(each)[labelled] for name, each in parts.items()},
        classes_N[labelled],
        np.asarray(shard_set.groups(split), dtype=str)[labelled],
        np.concatenate(said)[labelled] if head is not None else None,
    )


def _wanted(features: str, modalities: tuple[str, ...]) -> list[str]:
    return {"fused": ["fused"], "towers": list(modalities), "all": ["fused", *modalities]}[features]


def _own_head(label: str, loaded: LoadedModel, classes: list[str]) -> str | None:
    """The classification head of the model that learned this label with these classes."""
    heads = loaded.config.heads
    return next(
        (
            name
            for name in sorted(heads)
            if heads[name].kind == "classification"
            and label_of(name, heads[name]) == label
            and list(loaded.labels[name]["classes"]) == classes
        ),
        None,
    )


def _check_stop(context: TaskContext) -> None:
    if context.stop.is_set():
        raise Stopped("probing stopped; run again to start it over, finished steps are kept")
