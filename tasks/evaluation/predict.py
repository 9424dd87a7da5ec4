"""What a model says of every sample, for every subset of its modalities.

In: a loaded model and the batches of an evaluation loader. Out: arrays in the loader's order, without padding. Only the full set keeps
probabilities; subsets keep the predicted class or number, so memory grows with samples × classes once.

Shapes: N samples, B batch, K classes, M modalities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.contracts import Batch, ModalityBatch
from tasks.evaluation.subsets import mask_present, subset_members

if TYPE_CHECKING:
    from tasks.models.load import LoadedModel


@dataclass(frozen=True)
class HeadPredictions:
    """One head's word on N samples."""

    by_subset: dict[str, NDArray[Any]]
    """Subset → class indices int64 N, or numbers float64 N in the label's unit. The full set is the last."""
    classes: tuple[str, ...] = ()
    """Empty for regression."""
    probability: NDArray[np.float32] | None = None
    """Full set of modalities; None for regression."""

    def rows(self, chosen_N: NDArray[np.bool_]) -> HeadPredictions:
        """The samples where `chosen_N` is true."""
        probability = None if self.probability is None else self.probability[chosen_N]
        return HeadPredictions({name: values[chosen_N] for name, values in self.by_subset.items()}, self.classes, probability)


@dataclass(frozen=True)
class Predictions:
    """One model's word on a split."""

    keys: list[str]
    modalities: tuple[str, ...]
    present: NDArray[np.bool_]
    heads: dict[str, HeadPredictions]

    def covered(self, subset: str) -> NDArray[np.bool_]:
        """N: whether a sample has at least one modality of the subset."""
        chosen = [self.modalities.index(name) for name in subset_members(subset)]
        return np.asarray(self.present[:, chosen].any(axis=1))


def predict_split(loaded: LoadedModel, batches: Iterable[Batch], on_batch: Callable[[int], None], subsets: list[str]) -> Predictions:
    """Run the model over all batches, for each subset; the last one is the full set.

    Batches may lack modalities of the model: they count as missing in every sample. `on_batch` is told how many samples are done
    and may raise to stop.
    """
    keys: list[str] = []
    present: list[NDArray[np.bool_]] = []
    collected: dict[str, dict[str, list[NDArray[Any]]]] = {head: {name: [] for name in subsets} for head in loaded.labels}
    probabilities: dict[str, list[NDArray[np.float32]]] = {head: [] for head in loaded.labels}
    for batch in batches:
        real = batch.weight > 0
        kept = real.numpy()
        keys += [key for key, wanted in zip(batch.keys, kept.tolist(), strict=True) if wanted]
        present.append(batch.present.numpy()[kept])
        for name, outputs in outputs_by_subset(loaded, batch, subsets):
            for head, output in outputs.items():
                values, probability = _values(output, "classes" in loaded.labels[head])
                collected[head][name].append(values[kept])
                if name == subsets[-1] and probability is not None:
                    probabilities[head].append(probability[kept])
        on_batch(len(keys))
    heads = {
        head: HeadPredictions(
            by_subset={name: np.concatenate(parts) for name, parts in by_subset.items()},
            classes=tuple(loaded.labels[head].get("classes", ())),
            probability=np.concatenate(probabilities[head]) if probabilities[head] else None,
        )
        for head, by_subset in collected.items()
    }
    return Predictions(keys, subset_members(subsets[-1]), np.concatenate(present), heads)


def outputs_by_subset(loaded: LoadedModel, batch: Batch, subsets: list[str]) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """Subset → what the model predicts with it. Media are encoded once; a subset swaps the tokens of what it may not see."""
    model = loaded.model
    device = next(model.parameters()).device
    inputs, present_BM = _complete(loaded, batch, device)
    with torch.inference_mode():
        seen = model.encode(inputs, present_BM)
        hidden = model.encode(inputs, torch.zeros_like(present_BM))
        for name in subsets:
            members = set(subset_members(name))
            tokens = {modality: (seen if modality in members else hidden)[modality] for modality in model.modalities}
            yield name, model.predict(model.answer(tokens, mask_present(present_BM, model.modalities, name)))


def _complete(loaded: LoadedModel, batch: Batch, device: torch.device) -> tuple[dict[str, ModalityBatch], torch.Tensor]:
    """The batch's inputs and `present_BM` in the model's order, with what the shards do not hold as missing."""
    num_samples = len(batch.keys)
    inputs, columns = {}, []
    for name in loaded.model.modalities:
        if name in batch.inputs:
            given, column = batch.inputs[name], batch.present[:, batch.modalities.index(name)]
        else:
            given, column = loaded.readers[name].collate([None] * num_samples), torch.zeros(num_samples, dtype=torch.bool)
        inputs[name] = ModalityBatch(given.values.to(device), None if given.lengths is None else given.lengths.to(device))
        columns.append(column)
    return inputs, torch.stack(columns, dim=1).to(device)


def _values(predicted: torch.Tensor, is_category: bool) -> tuple[NDArray[Any], NDArray[np.float32] | None]:
    """The predicted class and its probabilities, or the number."""
    if not is_category:
        return predicted.reshape(-1).double().cpu().numpy(), None
    probability_BK = predicted.float().cpu()
    return probability_BK.argmax(dim=1).numpy(), probability_BK.numpy()
