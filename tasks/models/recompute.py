"""Gradient checkpointing: activations are computed again in the backward pass instead of being kept (arXiv:1604.06174).

In: a fused model. Out: the same model, whose layers keep nothing but their inputs while it trains. Results are the same bit for bit: random
numbers are drawn again from the same state, and running statistics move once. Must not import ray or mlflow.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from tasks.models.batch_normed import moving
from tasks.models.fused import FusedModel

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def recompute_layers(model: FusedModel, compiled: bool = False) -> int:
    """Make every layer of encoders, fusion and trunks compute its activations again; how many layers there are.

    A layer is a member of a list of modules that is more than one operation, such as a Transformer block or a residual block. A part
    without such a list is one layer. Names of parameters stay as they are. `compiled`: torch.compile comes next, and layers with
    batch norm keep their activations, since what it captures can't leave running statistics alone.
    """
    layers = [layer for part in parts(model) for layer in _layers(part) if not (compiled and moving(layer))]
    for layer in layers:
        layer.__dict__["forward"] = _Recomputed(layer)
    return len(layers)


def parts(model: FusedModel) -> list[nn.Module]:
    """Encoders, the trunks of modalities, fusion and joint trunk, as far as they have parameters."""
    found = [*model.encoders.values(), *model.branches.values(), model.fusion, model.trunk]
    return [part for part in found if any(True for _ in part.parameters())]


def _layers(part: nn.Module) -> list[nn.Module]:
    return list(_listed(part)) or [part]


def _listed(module: nn.Module) -> Iterator[nn.Module]:
    """The outermost members of lists below a module."""
    is_list = isinstance(module, nn.ModuleList | nn.Sequential)
    for child in module.children():
        if is_list and not isinstance(child, nn.ModuleList) and any(True for _ in child.children()):
            yield child
        else:
            yield from _listed(child)


class _Recomputed:
    """A layer's `forward`. An object and not a closure, so that a copy of the model recomputes its own layers."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer
        self.moving = moving(layer)

    def __call__(self, *args: Any, **named: Any) -> Any:
        layer = self.layer
        if not (layer.training and torch.is_grad_enabled()):
            return type(layer).forward(layer, *args, **named)
        if self.moving:
            named["context_fn"] = self._contexts
        return checkpoint(type(layer).forward, layer, *args, use_reentrant=False, **named)

    def _contexts(self) -> tuple[contextlib.AbstractContextManager[None], contextlib.AbstractContextManager[None]]:
        return contextlib.nullcontext(), self._still()

    @contextlib.contextmanager
    def _still(self) -> Iterator[None]:
        """Batch norm takes the statistics of the batch again, and moves copies of its own, so that no batch counts twice."""
        held = [(module, name, getattr(module, name)) for module in self.moving for name in STATISTICS]
        for module, name, statistic in held:
            setattr(module, name, statistic.clone())
        try:
            yield
        finally:
            for module, name, statistic in held:
                setattr(module, name, statistic)
