"""Weights from outside, for a whole model: where they lie, what they are in the key of a training, and when they are loaded.

A model is built with random weights always; `load_pretrained` fills it once, before the first step. A trained model is opened from its own
folder and needs none of these files. Must not import ray or mlflow; torch comes with the encoders alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.contracts import Json, Reader
from tasks.errors import InputError
from tasks.file_digest import sha256_of
from tasks.models.config import ModelConfig
from tasks.models.encoders.config_pretrained import HfImageConfig, HfTextConfig

if TYPE_CHECKING:
    from tasks.models.fused import FusedModel

PARTS = ("*.json", "*.safetensors")
"""Files of a pretrained folder that decide what it gives."""


def placed(config: ModelConfig, folder: Path) -> ModelConfig:
    """The same with absolute paths: workers run elsewhere than beside the recipe."""
    return _each(config, lambda encoder: _placed(encoder, folder))


def with_architecture(config: ModelConfig, folder: Path) -> ModelConfig:
    """The same with what each pretrained folder says of its architecture. Raises InputError when that can't be read."""
    return _each(config, lambda encoder: _with_architecture(encoder, folder))


def digests(config: ModelConfig, folder: Path) -> dict[str, Json]:
    """Modality → digest of the files that its encoder begins with, for the key. Raises InputError when a file is not there."""
    found: dict[str, Json] = {}
    for modality, encoder in sorted(config.encoders.items()):
        if _is_of_the_hub(encoder, folder) and encoder.revision is None:
            raise InputError(
                f"model.encoders.{modality}: there is no folder {folder / encoder.model}; give one relative to the recipe, or, when "
                f"{encoder.model!r} is the id of a model on the hub, its commit in `revision:`"
            )
        for path in _files(encoder, folder):
            if not path.exists():
                raise InputError(f"model.encoders.{modality}: there is no file {path}; give a path relative to the recipe")
            files = [path] if path.is_file() else sorted({file for pattern in PARTS for file in path.glob(pattern)})
            found[modality] = hashlib.sha256("".join(f"{file.name} {sha256_of(file)}\n" for file in files).encode()).hexdigest()
    return found


def load_pretrained(model: FusedModel, readers: Mapping[str, Reader]) -> None:
    """Fill each encoder that begins with weights from outside. Raises InputError naming what does not fit."""
    for modality, encoder in zip(model.modalities, model.encoders.values(), strict=True):
        load = getattr(encoder, "load_pretrained", None)
        if load is not None:
            load(readers[modality])


def _each(config: ModelConfig, change: Any) -> ModelConfig:
    return config.model_copy(update={"encoders": {modality: change(encoder) for modality, encoder in config.encoders.items()}})


def _placed(encoder: Any, folder: Path) -> Any:
    if isinstance(encoder, HfTextConfig | HfImageConfig):
        return encoder.model_copy(update={"model": str(folder / encoder.model)}) if (folder / encoder.model).is_dir() else encoder
    weights = getattr(encoder, "weights", None)
    return encoder.model_copy(update={"weights": str(folder / weights)}) if isinstance(weights, str) else encoder


def _with_architecture(encoder: Any, folder: Path) -> Any:
    if not isinstance(encoder, HfTextConfig | HfImageConfig) or encoder.architecture is not None:
        return encoder
    from tasks.models.encoders.hugging_face import architecture

    return encoder.model_copy(update={"architecture": architecture(_placed(encoder, folder))})


def _is_of_the_hub(encoder: Any, folder: Path) -> bool:
    return isinstance(encoder, HfTextConfig | HfImageConfig) and not (folder / encoder.model).is_dir()


def _files(encoder: Any, folder: Path) -> list[Path]:
    given = _placed(encoder, folder)
    if isinstance(given, HfTextConfig | HfImageConfig):
        return [Path(given.model)] if Path(given.model).is_dir() else []
    weights = getattr(given, "weights", None)
    return [Path(weights)] if isinstance(weights, str) else []
