"""Models of Hugging Face Transformers: architecture, weights and tokenizer from a folder or the hub. Must not import ray or mlflow.

Nothing is executed or unpickled: code that comes with a model is refused, and weights are safetensors. `transformers` is the extra `hf`
and is imported when it is needed.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from tasks.errors import InputError
from tasks.models.encoders.config_pretrained import HfImageConfig, HfTextConfig
from tasks.models.encoders.hf_probe import LIKE, first_line
from tasks.models.encoders.weights import NAMED, check_finite

HfConfig = HfTextConfig | HfImageConfig


def architecture(config: HfConfig) -> dict[str, Any]:
    """What config.json says; of a model of pictures and text, the part for pictures, and of CLIP the one that is asked for.

    Raises InputError when it can't be had, or says that the weights are quantised.
    """
    found = _transformers(config.kind).AutoConfig
    try:
        with _quietly(config.kind):
            whole = found.from_pretrained(config.model, revision=config.revision, trust_remote_code=False)
        if config.kind == "hf_image":
            part = getattr(whole, "vision_config", whole)
        else:
            part = whole.text_config if whole.model_type == "clip" else whole
        given = dict(part.to_diff_dict()) | {"model_type": part.model_type}
    except MemoryError:
        raise
    except Exception as error:  # what Transformers makes of a file that isn't its own
        raise InputError(
            f"encoder {config.kind!r}: {config.model} has no architecture that can be read ({first_line(error)}); "
            f"{_cure(config, 'config.json')}"
        ) from error
    if getattr(whole, "quantization_config", None) is not None or "quantization_config" in given:
        raise InputError(
            f"encoder {config.kind!r}: the weights of {config.model} are quantised, and such can't be learned on; give the same model with "
            "whole weights"
        )
    return given


def build(config: HfConfig, given: dict[str, Any], **sizes: int | None) -> nn.Module:
    """The model with random weights, without the cache of models that write: a pass that is computed again must not find its own keys.

    `sizes` take the place of what the architecture says.
    """
    library = _transformers(config.kind)
    with _quietly(config.kind):
        whole = library.AutoConfig.for_model(**{**given, **sizes})
        model: Any = library.AutoModel.from_config(whole, dtype=torch.float32, trust_remote_code=False)
    if getattr(model.config, "use_cache", False):
        model.config.use_cache = False
    if getattr(whole, "is_encoder_decoder", False) or not hasattr(whole, "hidden_size"):
        raise InputError(
            f"encoder {config.kind!r}: {config.model} is of the kind {given.get('model_type')!r}, which does not give a vector for each "
            f"token; choose another model, {LIKE[config.kind]}"
        )
    return cast(nn.Module, model)


def load(config: HfConfig, model: nn.Module) -> nn.Module:
    """The pretrained model of the same class as `model`. Raises InputError when weights are missing, of more layers, or of other shapes."""
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
    except MemoryError:
        raise
    except ImportError as error:
        raise InputError(
            f"encoder {config.kind!r}: {config.model} asks for a package that is not installed ({first_line(error)}); install it, choose "
            "another model, or take the setting that needs it out of config.json"
        ) from error
    except Exception as error:  # what Transformers makes of a file that isn't its own
        raise InputError(
            f"encoder {config.kind!r}: the weights of {config.model} can't be read ({first_line(error)}); "
            f"{_cure(config, 'a whole model.safetensors')}"
        ) from error
    problems = [f"{name} is missing" for name in sorted(report["missing_keys"]) if "pooler" not in name]
    problems += [f"{name} has shape {list(given)}, needs {list(needed)}" for name, given, needed in sorted(report["mismatched_keys"])]
    kinds = {_numberless(name) for name in model.state_dict()}
    problems += [f"{name} is of a layer too many" for name in sorted(report["unexpected_keys"]) if _numberless(name) in kinds]
    if problems:
        more = f", and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
        raise InputError(
            f"encoder {config.kind!r}: the weights of {config.model} are not those of its config.json: {'; '.join(problems[:NAMED])}{more}"
            "; fetch the folder anew"
        )
    check_finite(loaded.state_dict(), f"encoder {config.kind!r}: the weights of {config.model}")
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
            f"encoder {config.kind!r}: {config.model} has no tokenizer.json that can be read ({first_line(error)}), which finds its words; "
            + _cure(config, "tokenizer.json", " (`AutoTokenizer.from_pretrained(folder).save_pretrained(folder)` makes one of older files)")
        ) from error


def _cure(config: HfConfig, file: str, more: str = "") -> str:
    """What to do about a file that can't be had."""
    if Path(config.model).is_dir():
        return f"the folder needs {file}, as Transformers saves it{more}; fetch it anew, or give another folder, relative to the recipe"
    at = f" --revision {config.revision}" if config.revision else ""
    return (
        f"see whether this machine reaches the hub and {config.model} is there; or fetch it where the hub is reached, with "
        f"`hf download {config.model}{at} --local-dir FOLDER`, and give that folder with {file}, relative to the recipe"
    )


def _numberless(name: str) -> str:
    """A weight's name without the layer it is of."""
    return re.sub(r"\.\d+\.", ".#.", name)


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
