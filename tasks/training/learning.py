"""Which weights learn in an epoch, and how fast: frozen parts, LoRA, learning rates. In: `fine_tune:` and `lora:`. Must not import ray.

Everything is a pure function of config and epoch, so that a resumed run needs no state of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from tasks.errors import InputError
from tasks.models.batch_normed import moving
from tasks.models.fused import FusedModel
from tasks.models.lora import DOWN, UP, adapt
from tasks.models.names import slot
from tasks.models.parts import chosen, places, within
from tasks.training.config import TrainConfig
from tasks.training.depths import depths
from tasks.training.state import parameter_groups


def add_lora(model: FusedModel, config: TrainConfig) -> None:
    """Adapt the parts that `lora` names. Raises InputError for one without a linear layer."""
    if config.lora is None:
        return
    given, where = config.lora, places(config.model)
    for part in chosen(given.parts, config.model):
        module = _part(model, where[part])
        if not isinstance(module, nn.Module) or not adapt(module, given.rank, given.alpha, given.dropout):
            raise InputError(
                f"lora.parts: {part} has no linear layer that could be adapted; name parts that have some, such as an encoder of kind "
                "'transformer', or let this one learn as it is"
            )


def frozen(config: TrainConfig, epoch: int) -> list[str]:
    """Parts that do not learn in an epoch, counted from 0."""
    given, first = config.fine_tune, dict[str, int]()
    for name in sorted(given.unfreeze, key=lambda name: "." in name):  # what is said of one part counts, not what is said of its group
        first |= dict.fromkeys(chosen([name], config.model), given.unfreeze[name])
    waiting = [part for part, wanted in first.items() if epoch + 1 < wanted]
    return chosen([*given.freeze, *waiting], config.model)


def set_learning(model: FusedModel, config: TrainConfig, epoch: int) -> bool:
    """Say for every weight whether it learns in this epoch; returns whether that changed for any."""
    still = [places(config.model)[part] for part in frozen(config, epoch)]
    adapted = [places(config.model)[part] for part in chosen(config.lora.parts, config.model)] if config.lora else []
    changed = False
    for name, parameter in model.named_parameters():
        learns = name not in model.resting and not any(within(name, place) for place in still)
        learns &= name.endswith((DOWN, UP)) or not any(within(name, place) for place in adapted)
        changed |= learns != parameter.requires_grad
        parameter.requires_grad_(learns)
    return changed


def train_mode(model: FusedModel, config: TrainConfig, epoch: int) -> None:
    """Train mode, but for what is frozen: neither dropout nor batch statistics there. In parts with LoRA the statistics alone rest."""
    model.train()
    for part in frozen(config, epoch):
        module = _part(model, places(config.model)[part])
        if isinstance(module, nn.Module):
            module.eval()
    for part in chosen(config.lora.parts, config.model) if config.lora else ():
        for module in _part(model, places(config.model)[part]).modules():
            if isinstance(module, _NormBase):
                module.eval()


def optimizer_groups(policy: nn.Module, model: FusedModel, config: TrainConfig) -> list[dict[str, Any]]:
    """Weights that learn at some time, in groups of one weight decay and one `rate`: a factor on the learning rate, 1 where it lacks."""
    set_learning(model, config, config.epochs)
    rates = dict(_rates(model, config))
    groups = parameter_groups(policy, config.optimizer.weight_decay)
    if not any(group["params"] for group in groups):
        raise InputError("every part of the model is frozen, so that nothing would learn; leave one out of `fine_tune.freeze`")
    if not rates:
        return groups
    found: dict[tuple[float, float], list[nn.Parameter]] = {}
    for group in groups:
        for parameter in group["params"]:
            found.setdefault((group["weight_decay"], rates.get(parameter, 1.0)), []).append(parameter)
    return [{"params": each, "weight_decay": decay, "rate": rate} for (decay, rate), each in found.items()]


def check(model: FusedModel, config: TrainConfig) -> None:
    """Raises InputError for what only the model itself can tell."""
    optimizer_groups(model, model, config)
    normed = [modality for modality in model.modalities if moving(model.encoders[slot(modality)])]
    if normed and (config.accumulate > 1 or config.policy.kind == "reptile"):
        why = "`accumulate` cuts a batch into parts" if config.accumulate > 1 else "policy 'reptile' steps on a few samples"
        raise InputError(
            f"the encoder of {', '.join(normed)} norms over the batch, and {why}, each of which it would norm by itself; take a norm of "
            "samples in the encoder, or leave the other setting out"
        )
    if config.fine_tune.layer_decay is not None and not any(depths(encoder) for encoder in model.encoders.values()):
        kinds = ", ".join(sorted({encoder.kind for encoder in config.model.encoders.values()}))
        raise InputError(
            f"fine_tune.layer_decay: no encoder is a stack of blocks whose depth could be counted (they are: {kinds}); take encoders such "
            "as 'transformer' or 'vit', or use `fine_tune.rates` for whole parts"
        )


def _rates(model: FusedModel, config: TrainConfig) -> Iterator[tuple[torch.nn.Parameter, float]]:
    """Weights whose learning rate is not that of the others."""
    given, where = config.fine_tune, places(config.model)
    factors = {where[part]: rate for name, rate in given.rates.items() for part in chosen([name], config.model)}
    factors |= {where[name]: rate for name, rate in given.rates.items() if name in where}
    deep: dict[str, float] = {}
    if given.layer_decay is not None:
        for slot, encoder in model.encoders.items():
            found = depths(encoder)
            last = max(found.values(), default=0)
            deep |= {f"encoders.{slot}.{name}": given.layer_decay ** (last - depth) for name, depth in found.items()}
    for name, parameter in model.named_parameters():
        rate = deep.get(name, 1.0)
        for place, factor in factors.items():
            rate *= factor if within(name, place) else 1.0
        if rate != 1.0:
            yield parameter, rate


def _part(model: FusedModel, place: str) -> Any:
    """A module, or a single weight."""
    owner: Any = model
    for name in place.split("."):
        owner = owner[name] if isinstance(owner, nn.ModuleDict | nn.ParameterDict) else getattr(owner, name)
    return owner
