"""A model as a folder: written by train, opened by evaluate, register, promote and serving with nothing but its path.

    model.safetensors   weights
    model.json          the resolved model config, how each modality is read, the labels' classes and units, where it comes from
    fits/               what was learned from the training split: tokenizer, normalisation

No pickle is written or read. Must not import ray or mlflow.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from tasks.contracts import FORMAT_VERSION, Fit, Json, Reader
from tasks.errors import CorruptArtifact, InputError, LabelError
from tasks.modalities import MODALITIES
from tasks.models.config import ModelConfig
from tasks.models.encoders.weights import differences
from tasks.models.fused import FusedModel, build_model

WEIGHTS, DESCRIPTION, FITS = "model.safetensors", "model.json", "fits"


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to predict, and what turns stored bytes into its inputs."""

    model: FusedModel
    """In eval mode."""
    readers: dict[str, Reader]
    """Modality → reader with the fits of its training."""
    labels: dict[str, dict[str, Json]]
    """Head → its label: `classes` in the order of the outputs, or `mean` and `std`."""
    config: ModelConfig
    modalities: tuple[str, ...]
    description: dict[str, Json]
    """All of model.json."""


def save_model(path: Path, weights: Mapping[str, Tensor], description: Mapping[str, Json], fits: Path | Mapping[str, Path]) -> None:
    """Write a model folder. `description` is what model.json says beside the format; what it lists as `fit_files` is copied from `fits`,
    one folder or one for each modality.
    """
    path.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in weights.items()}, path / WEIGHTS)
    (path / DESCRIPTION).write_text(
        json.dumps({"format": FORMAT_VERSION, **description}, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (path / FITS).mkdir(exist_ok=True)
    for modality, names in description["fit_files"].items():
        folder = fits if isinstance(fits, Path) else fits[modality]
        for name in (f"{modality}.json", *names):
            shutil.copyfile(folder / name, path / FITS / name)


def load_model(path: Path, device: str = "cpu") -> LoadedModel:
    """Open a model folder. Raises CorruptArtifact when it is not whole, InputError when it is of a newer format."""
    description = _description(path)
    with _understood(path):
        config = ModelConfig.model_validate(description["model"])
        model = build_model(config, description["shapes"], {**description["labels"], **description.get("objectives", {})})
    try:
        weights = load_file(path / WEIGHTS)
    except (OSError, SafetensorError) as error:
        raise CorruptArtifact(f"model {path}: {WEIGHTS} cannot be read ({error}); train it again or restore the file") from error
    load_weights(model, weights, f"model {path}")
    with _understood(path):
        fits = {modality: read_fit(path, modality, names) for modality, names in description["fit_files"].items()}
        readers = build_readers(description["read"], fits)
        lend_readers(model, readers)
    return LoadedModel(model.to(device).eval(), readers, description["labels"], config, model.modalities, description)


def build_readers(read: Mapping[str, Any], fits: Mapping[str, Fit]) -> dict[str, Reader]:
    """Modality → reader. `read` holds configs, or the dicts they were saved as."""
    readers = {}
    for modality, given in sorted(read.items()):
        entry = MODALITIES[modality]
        readers[modality] = entry.load().reader(entry.read.model_validate(given), fits[modality])
    return readers


def lend_readers(model: FusedModel, readers: Mapping[str, Reader]) -> None:
    """Give each head that says a modality its reader, if it asks for what was learned of it. Raises InputError when that is missing."""
    for name, target in model.targets.items():
        lend = getattr(model.head(name), "lend", None)
        if lend is not None:
            lend(readers[target])


def read_fit(path: Path, modality: str, names: Sequence[str]) -> Fit:
    """What was learned about a modality; `names` are the files that belong to it beside its values. Raises CorruptArtifact."""
    try:
        values = json.loads((path / FITS / f"{modality}.json").read_bytes())
        return Fit(values, {name: (path / FITS / name).read_bytes() for name in names})
    except (OSError, ValueError) as error:
        raise CorruptArtifact(
            f"model {path}: what was learned about {modality} cannot be read ({error}); train it again or restore the file"
        ) from error


def load_weights(model: FusedModel, weights: Mapping[str, Tensor], what: str) -> None:
    """Fill a model. Raises CorruptArtifact naming what does not fit."""
    problems = differences(model.state_dict(), weights)
    if problems:
        raise CorruptArtifact(f"{what}: the weights do not fit the model: {problems}")
    model.load_state_dict(dict(weights))


@contextlib.contextmanager
def _understood(path: Path) -> Iterator[None]:
    """Whatever a description that isn't whole makes of the code that reads it is told in a sentence."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, LabelError, RuntimeError, TypeError, ValueError) as error:
        said = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        if isinstance(error, ValidationError):
            said = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise CorruptArtifact(
            f"model {path}: {DESCRIPTION} or its {FITS} are not whole, or another Medley wrote them ({said}); restore the folder, open it "
            "with the Medley that wrote it, or train it again"
        ) from error


def _description(path: Path) -> dict[str, Json]:
    try:
        description = json.loads((path / DESCRIPTION).read_bytes())
    except (OSError, ValueError) as error:
        raise CorruptArtifact(f"model {path}: {DESCRIPTION} cannot be read ({error}); train it again or restore the file") from error
    if not isinstance(description, dict) or not isinstance(description.get("format", 0), int):
        raise CorruptArtifact(f"model {path}: {DESCRIPTION} is no description of a model; restore the file or train it again")
    if description.get("format", 0) > FORMAT_VERSION:
        raise InputError(f"model {path} has format {description['format']}, this Medley reads up to {FORMAT_VERSION}; upgrade Medley")
    return dict(description)
