"""What a model says of every sample, for every subset of its modalities.

In: a loaded model and the batches of an evaluation loader. Out: arrays in the loader's order, without padding. Of categories only the
full set keeps probabilities; subsets keep the predicted class, so memory grows with samples × classes once.

Shapes: N samples, B batch, M modalities.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.contracts import Batch, ModalityBatch
from tasks.evaluation.gather import gathering
from tasks.evaluation.said import HeadPredictions as HeadPredictions
from tasks.evaluation.subsets import mask_present, subset_members
from tasks.models.batches import to_device

if TYPE_CHECKING:
    from tasks.models.load import LoadedModel


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
    modalities, model = subset_members(subsets[-1]), loaded.model
    gathered = {head: gathering(loaded, head) for head in loaded.labels}
    for batch in batches:
        kept = (batch.weight > 0).numpy()
        keys += [key for key, wanted in zip(batch.keys, kept.tolist(), strict=True) if wanted]
        present.append(batch.present.numpy()[kept][:, [batch.modalities.index(name) for name in modalities]])
        for name, outputs in answers_by_subset(loaded, batch, subsets):
            for head, each in gathered.items():
                with torch.inference_mode():
                    each.add(name, model.head(head).predict(outputs[head]), kept, is_full=name == subsets[-1])
                    if name == subsets[-1]:
                        each.add_loss(model, outputs[head], to_device(batch, next(model.parameters()).device))
        on_batch(len(keys))
    return Predictions(keys, modalities, np.concatenate(present), {head: each.finished() for head, each in gathered.items()})


def answers_by_subset(loaded: LoadedModel, batch: Batch, subsets: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Subset → what each head gives with it. Media are encoded once; a subset swaps the tokens of what it may not see."""
    model = loaded.model
    device = next(model.parameters()).device
    inputs, present_BM = _complete(loaded, batch, device)
    with torch.inference_mode():
        seen = model.encode(inputs, present_BM)
        hidden = model.encode(inputs, torch.zeros_like(present_BM))
        for name in subsets:
            members = set(subset_members(name))
            tokens = {modality: (seen if modality in members else hidden)[modality] for modality in model.modalities}
            yield name, model.answer(tokens, mask_present(present_BM, model.modalities, name))


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
