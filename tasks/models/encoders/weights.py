"""Weights that were trained elsewhere: read from a file, and put where they fit.

In: a `.safetensors` file, or a `.pth` of tensors alone. Out: tensors by name, in a module. Nothing that is pickled beside tensors is
loaded. Must not import ray or mlflow.
"""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tasks.errors import InputError

NAMED = 3
"""Problems that a message names before it counts the others."""
PTH = (b"PK\x03\x04", b"\x80")
"""How files of torch.save begin: an archive, formerly a pickle."""
SHOWN = 24
"""First bytes of another file that a message shows."""


def read_weights(path: str) -> dict[str, Tensor]:
    """Name → tensor on the CPU. Raises InputError when the file is not there, is damaged, holds other things or has no finite numbers."""
    file = Path(path)
    if file.is_dir():
        raise InputError(f"weights {path}: is a folder; give the .safetensors or .pth file in it, relative to the recipe")
    if not file.is_file():
        raise InputError(f"weights {path}: there is no such file; give the path of a .safetensors or .pth file, relative to the recipe")
    try:
        found = load_file(file) if file.suffix == ".safetensors" else _read_pth(file)
    except (InputError, MemoryError):
        raise
    except pickle.UnpicklingError as error:
        raise InputError(
            f"weights {path}: holds more than tensors, and nothing else is loaded; save the model's state_dict alone, best as .safetensors"
        ) from error
    except Exception as error:  # torch raises whatever damaged bytes make of it
        raise InputError(f"weights {path}: cannot be read ({error}); fetch the file anew") from error
    if not isinstance(found, Mapping) or not found or not all(_named(name, value) for name, value in found.items()):
        raise InputError(f"weights {path}: is not a table of tensors by name; save the model's state_dict alone")
    for name, value in found.items():
        if value.layout != torch.strided or value.is_quantized or value.is_meta or value.is_complex():
            raise InputError(f"weights {path}: {name} is no dense tensor of real numbers; save it as one, as models have them in training")
    check_finite(found, f"weights {path}")
    return dict(found)


def check_finite(weights: Mapping[str, Tensor], what: str) -> None:
    """Raises InputError naming the first tensor with NaN or infinity, from which nothing could be learned on."""
    for name, value in weights.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise InputError(f"{what}: {name} has numbers that are NaN or infinite; give weights of a training that went well")


def _read_pth(file: Path) -> object:
    with file.open("rb") as opened:
        begins = opened.read(SHOWN)
    if not begins.startswith(PTH):
        raise InputError(
            f"weights {file}: is no .pth file, it begins with {begins!r}, as a page or a pointer does that was saved in its place; fetch "
            "the file itself"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is refused anyhow
        return torch.load(file, map_location="cpu", weights_only=True)


def _named(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor)


def fill(module: nn.Module, weights: Mapping[str, Tensor], what: str, left_out: tuple[str, ...] = ()) -> None:
    """Put every weight in its place. `left_out`: beginnings or ends of names that the module has no use for, such as its classifier.

    Raises InputError naming what is missing, what is too much and what has another shape.
    """
    given = {name: value for name, value in weights.items() if not any(name.startswith(part) or name.endswith(part) for part in left_out)}
    problems = differences(module.state_dict(), given)
    if problems:
        raise InputError(f"{what} is not what its `weights` are of: {problems}; give the file of this architecture, or change the sizes")
    module.load_state_dict(given)


def differences(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> str:
    """What does not fit, the first ones by name; empty = all fits."""
    problems = [f"{name} is missing" for name in own if name not in given]
    problems += [f"{name} is not a part of this model" for name in given if name not in own]
    problems += [
        f"{name} has shape {list(given[name].shape)}, needs {list(own[name].shape)}"
        for name in own
        if name in given and given[name].shape != own[name].shape
    ]
    more = f", and {len(problems) - NAMED} more" if len(problems) > NAMED else ""
    return "; ".join(problems[:NAMED]) + more
