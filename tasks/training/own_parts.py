"""Whether parts of the user's own give what the model counts on: tried on a few real samples, before a training starts.

In: a config, the shards, and the model's shapes and labels. Out: an InputError that names the part and what it must give, as
`tasks.models.contracts` has it. What a part raises by itself is left as it is. Must not import ray or mlflow.

Shape suffixes: B samples, T tokens, D width.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from tasks.contracts import Batch, Fit, Json
from tasks.errors import InputError
from tasks.models.config import ModelConfig
from tasks.models.fused import FusedModel
from tasks.models.names import slot
from tasks.models.tokens import Tokens, WeightedSum
from tasks.shards.joined import AnyShards
from tasks.training.config import TrainConfig
from tasks.training.untrained import untrained

OF_HEADS = ("loss", "loss_weight_B", "metrics", "predict")
"""What a head has beside its call."""


def check_own(
    config: TrainConfig,
    shard_set: AnyShards,
    shapes: Mapping[str, Mapping[str, int]],
    labels: Mapping[str, Mapping[str, Json]],
    fitted: Mapping[str, Fit],
) -> None:
    """Does nothing where every part is Medley's. Raises InputError."""
    if not any(map(_own, _parts(config.model))):
        return
    with untrained(config, shard_set, shapes, labels, fitted, config.streams) as (model, batches):
        try_parts(model, next(batches))


def try_parts(model: FusedModel, batch: Batch) -> None:
    """Run the model and its losses once. Raises InputError for a part of the user's own that gives something else than it must."""
    size, config = len(batch.keys), model.config
    for what, module in _token_makers(model):
        module.register_forward_hook(functools.partial(_check_tokens, what, size, config.width))
    for name, head in config.heads.items():
        missing = [each for each in OF_HEADS if _own(head) and not callable(getattr(model.head(name), each, None))]
        if missing:
            raise InputError(
                f"head {name!r} ({head.kind}) has no {_quoted(missing)}; beside its call a head has {_quoted(OF_HEADS)}, as "
                "`tasks.models.contracts.Head` says"
            )
    outputs = model.outputs(batch.inputs, model.present_BM(batch))
    for name, head in config.heads.items():
        if _own(head):
            _check_head(f"head {name!r} ({head.kind})", model.head(name), outputs.heads[name], model.target(name, batch), batch.weight)
    for name, objective in config.objectives.items():
        if _own(objective):
            what, module = f"objective {name!r} ({objective.kind})", cast(Any, model.objective(name))
            if not callable(getattr(module, "loss_weight", None)):
                raise InputError(f"{what} has no `loss_weight`; beside its call an objective has it, as `tasks.models.contracts` says")
            _check_sum(f"{what}: its call", module(outputs, batch), module.loss_weight(batch))


def _own(part: Any) -> bool:
    return ":" in part.kind


def _parts(config: ModelConfig) -> list[Any]:
    branch = [config.branch] if config.branch else []
    return [*config.encoders.values(), config.fusion, config.trunk, *branch, *config.heads.values(), *config.objectives.values()]


def _token_makers(model: FusedModel) -> Iterator[tuple[str, nn.Module]]:
    """What to call each module of the user's own that gives tokens, and the module."""
    config = model.config
    for modality in model.modalities:
        if _own(config.encoders[modality]):
            yield f"encoder {config.encoders[modality].kind!r} of {modality}", model.encoders[slot(modality)]
        if config.branch_trunk and _own(config.branch_trunk):
            yield f"trunk {config.branch_trunk.kind!r} of {modality}", model.branches[slot(modality)]
    if _own(config.fusion):
        yield f"fusion {config.fusion.kind!r}", model.fusion
    if config.joint_trunk and _own(config.joint_trunk):
        yield f"trunk {config.joint_trunk.kind!r}", model.trunk


def _check_tokens(what: str, size: int, width: int, module: nn.Module, args: Any, given: Any) -> None:
    """A forward hook: `given` is what the module gives."""
    del module, args
    must = (
        f"it gives `Tokens(values_BTD, mask_BT)` of tasks.models.tokens: floats of {size} samples (the batch), any number of tokens and "
        f"the model's `width` ({width}), and a bool for each token"
    )
    if not isinstance(given, Tokens) or not all(isinstance(each, Tensor) for each in given):
        raise InputError(f"{what} gives a {type(given).__name__}; {must}")
    values_BTD, mask_BT = given
    shapes = f"{_shape(values_BTD)} and a mask of {_shape(mask_BT)}"
    if values_BTD.ndim != 3 or (len(values_BTD), values_BTD.shape[-1]) != (size, width) or mask_BT.shape != values_BTD.shape[:2]:
        raise InputError(f"{what} gives values of {shapes}; {must}")
    if not values_BTD.is_floating_point() or mask_BT.dtype != torch.bool:
        raise InputError(f"{what} gives {values_BTD.dtype} and a mask of {mask_BT.dtype}; {must}")


def _check_head(what: str, head: Any, output: Any, target: Any, weight_B: Tensor) -> None:
    counts_B = head.loss_weight_B(target, weight_B)
    if not isinstance(counts_B, Tensor) or counts_B.shape != weight_B.shape:
        raise InputError(
            f"{what}: `loss_weight_B` gives {_shown(counts_B)}; it gives what each sample counts, a tensor of {_shape(weight_B)}"
        )
    _check_sum(f"{what}: `loss`", head.loss(output, target, weight_B), counts_B.sum())
    metrics = head.metrics(output, target, weight_B)
    if not isinstance(metrics, Mapping) or not all(isinstance(each, WeightedSum) for each in metrics.values()):
        raise InputError(f"{what}: `metrics` gives {_shown(metrics)}; it gives a dict, name → `WeightedSum` of tasks.models.tokens")
    answers = head.predict(output)
    if not isinstance(answers, Tensor) or answers.ndim == 0 or len(answers) != len(weight_B):
        raise InputError(f"{what}: `predict` gives {_shown(answers)}; it gives a tensor with a row for each of {len(weight_B)} samples")


def _check_sum(what: str, given: Any, weight: Any) -> None:
    """A loss, and the weight that was told of it before the model ran."""
    if not isinstance(given, WeightedSum) or not all(isinstance(each, Tensor) and each.ndim == 0 for each in given):
        raise InputError(f"{what} gives {_shown(given)}; it gives `WeightedSum(total, weight)` of tasks.models.tokens, two scalar tensors")
    if not isinstance(weight, Tensor) or weight.ndim or not torch.isclose(given.weight.double(), weight.double(), rtol=1e-3):
        told = f"{float(weight):g}" if isinstance(weight, Tensor) and not weight.ndim else _shown(weight)
        raise InputError(
            f"{what} gives the weight {float(given.weight):g}, and what says it before the model runs (`loss_weight_B` of a head, summed, "
            f"`loss_weight` of an objective) gives {told}; both are the same"
        )


def _shown(given: Any) -> str:
    return f"a tensor of {_shape(given)}" if isinstance(given, Tensor) else f"a {type(given).__name__}"


def _shape(given: Tensor) -> str:
    return " by ".join(map(str, given.shape)) or "no dimension"


def _quoted(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)
