"""Models of Hugging Face Transformers: architecture, weights and tokenizer from a folder or the hub. Must not import ray or mlflow.

Nothing is executed or unpickled: code that comes with a model is refused, and weights are safetensors. `transformers` is the extra `hf`
and is imported when it is needed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import nn

from tasks.errors import InputError
from tasks.models.encoders.config_pretrained import HfImageConfig, HfTextConfig
from tasks.models.encoders.weights import NAMED

HfConfig = HfTextConfig | HfImageConfig


def architecture(config: HfConfig) -> dict[str, Any]:
    """What config.json says; of a model of pictures and text, the part for pictures. Raises InputError when it can't be had."""
    found = _transformers(config.kind).AutoConfig
    try:
        whole = found.from_pretrained(config.model, revision=config.revision, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise InputError(
            f"encoder {config.kind!r}: {config.model} has no architecture that can be read ({_first_line(error)}); give a folder with "
            "config.json, relative to the recipe, or the id of a model on the hub"
        ) from error
    part = getattr(whole, "vision_config", whole) if config.kind == "hf_image" else whole
    return dict(part.to_diff_dict()) | {"model_type": part.model_type}


def build(config: HfConfig, given: dict[str, Any], **sizes: int | None) -> nn.Module:
    """The model with random weights. `sizes` take the place of what the architecture says."""
    library = _transformers(config.kind)
    try:
        whole = library.AutoConfig.for_model(**{**given, **sizes})
        model: nn.Module = library.AutoModel.from_config(whole, dtype=torch.float32, trust_remote_code=False)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"encoder {config.kind!r}: {config.model} is of the kind {given.get('model_type')!r}, which Transformers "
            f"{library.__version__} can't build ({_first_line(error)}); choose another model, or another version of Transformers"
        ) from error
    if getattr(whole, "is_encoder_decoder", False) or not hasattr(whole, "hidden_size"):
        raise InputError(
            f"encoder {config.kind!r}: {config.model} is of the kind {given.get('model_type')!r}, which does not give a vector for each "
            "token; choose one like BERT for text, one like ViT or CLIP for pictures"
        )
    return model


def load(config: HfConfig, model: nn.Module) -> nn.Module:
    """The pretrained model of the same class as `model`. Raises InputError when weights are missing or have other shapes."""
    try:
        with _quietly(config.kind):
            loaded, report = cast(Any, type(model)).from_pretrained(
                config.model,
                revision=config.revision,
                dtype=torch.float32,
                use_safetensors=True,
                ignore_mismatched_sizes=True,  # they are told below, by name
                output_loading_info=True,
                trust_remote_code=False,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise InputError(
            f"encoder {config.kind!r}: the weights of {config.model} can't be read ({_first_line(error)}); "
            "the folder needs a whole model.safetensors"
        ) from error
    problems = [f"{name} is missing" for name in sorted(report["missing_keys"]) if "pooler" not in name]
    problems += [f"{name} has shape {list(given)}, needs {list(needed)}" for name, given, needed in sorted(report["mismatched_keys"])]
    if problems:
        more = f", and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        raise InputError(
            f"encoder {config.kind!r}: the weights of {config.model} are not those of its config.json: {'; '.join(problems[:NAMED])}{more}"
            "; fetch the folder anew"
        )
    return cast(nn.Module, loaded)


def tokenizer(config: HfConfig) -> Any:
    """The model's own tokenizer, of the library `tokenizers`. Raises InputError when there is none."""
    from tokenizers import Tokenizer

    place = Path(config.model)
    try:
        if place.is_dir():
            return Tokenizer.from_file(str(place / "tokenizer.json"))
        return Tokenizer.from_pretrained(config.model, revision=config.revision or "main")
    except Exception as error:  # the library raises nothing more precise
        raise InputError(
            f"encoder {config.kind!r}: {config.model} has no tokenizer.json that can be read ({_first_line(error)}), which finds its words"
        ) from error


@contextlib.contextmanager
def _quietly(kind: str) -> Iterator[None]:
    """Without Transformers' progress bars and tables of names; what was set before is set again."""
    says = _transformers(kind).utils.logging
    level, bars = says.get_verbosity(), says.is_progress_bar_enabled()
    says.set_verbosity_error()
    says.disable_progress_bar()
    try:
        yield
    finally:
        says.set_verbosity(level)
        if bars:
            says.enable_progress_bar()


def _transformers(kind: str) -> Any:
    try:
        import transformers
    except ModuleNotFoundError as error:
        if error.name != "transformers":
            raise
        raise InputError(
            f"encoder {kind!r} needs Hugging Face Transformers, which is not installed; run `pip install 'medley-pipeline[hf]'`"
        ) from error
    return transformers


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
