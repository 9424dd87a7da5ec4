"""The models that a training takes from: `init`, whose weights it begins with, and `teacher`. Must not import ray or mlflow.

In: their folders. Out: models, and what was learned about each modality, of the shards or of one of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from tasks.contracts import Fit
from tasks.errors import InputError
from tasks.models.load import LoadedModel, load_model, read_fit
from tasks.shards.joined import AnyShards, fit_folder
from tasks.training.config import TrainConfig


@dataclass(frozen=True)
class Sources:
    """Folders of models; None where the recipe names none, or where an alias stands for no model yet."""

    init: Path | None = None
    teacher: Path | None = None

    def behind(self, config: TrainConfig, modality: str) -> Path | None:
        """The model whose fit a modality is read with; None = that of the shards."""
        given = config.fits.get(modality)
        return {"init": self.init, "teacher": self.teacher}[given] if given else None


def open_source(folder: Path, device: str = "cpu") -> LoadedModel:
    """A model in eval mode; the random numbers of the caller stay as they were."""
    with torch.random.fork_rng(devices=[]):
        return load_model(folder, device)


def fit_of(loaded: LoadedModel, folder: Path, modality: str) -> Fit:
    """What a model was trained with. Raises InputError when it knows nothing of the modality."""
    names = loaded.description["fit_files"].get(modality)
    if names is None:
        there = ", ".join(sorted(loaded.description["fit_files"]))
        raise InputError(f"fits.{modality}: the model {folder} has no fit of {modality}; it has: {there}. Leave {modality} out of `fits`")
    return read_fit(folder, modality, names)


def fits(config: TrainConfig, shard_set: AnyShards, sources: Sources) -> dict[str, Fit]:
    """Modality → what was learned about it, from where `fits:` says."""
    found = {}
    for modality in config.readers():
        folder = sources.behind(config, modality)
        found[modality] = shard_set.fit(modality) if folder is None else fit_of(open_source(folder), folder, modality)
    return found


def fit_places(config: TrainConfig, shard_set: AnyShards, sources: Sources) -> tuple[dict[str, Path], dict[str, list[str]]]:
    """Modality → the folder of its fit, and the names of its files beside its values."""
    folders, names = {}, {}
    for modality in config.model.read_modalities:
        folder = sources.behind(config, modality)
        folders[modality] = fit_folder(shard_set, modality) if folder is None else folder / "fits"
        files = shard_set.meta["fit_files"] if folder is None else open_source(folder).description["fit_files"]
        names[modality] = list(files[modality])
    return folders, names
