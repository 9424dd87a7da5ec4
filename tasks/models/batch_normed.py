"""Encoders with batch norm: what is not there enters no statistics. In: a batch's tensors. Out: tokens. Must not import ray or mlflow.

Shape suffixes: B samples, T tokens, D width.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from tasks.models.tokens import Tokens


def moving(module: nn.Module) -> list[_BatchNorm]:
    """What moves running statistics when the module is called in training."""
    return [found for found in module.modules() if isinstance(found, _BatchNorm) and found.track_running_stats]


def encode_present(encoder: nn.Module, values: Tensor, lengths_B: Tensor | None, present_B: Tensor) -> Tokens:
    """Tokens of the samples that are present, as if the batch had no others; those of the others mean nothing.

    Of fewer than two, which have no statistics worth learning, by the running ones.
    """
    if bool(present_B.all()):
        return _called(encoder, values, lengths_B)
    (rows,) = present_B.nonzero(as_tuple=True)
    if len(rows) < 2:
        with _evaluating(encoder):
            return _called(encoder, values, lengths_B)
    found = _called(encoder, values[rows], None if lengths_B is None else lengths_B[rows])
    values_BTD = found.values_BTD.new_zeros(len(present_B), *found.values_BTD.shape[1:])
    mask_BT = found.mask_BT.new_zeros(len(present_B), *found.mask_BT.shape[1:])
    return Tokens(values_BTD.index_copy(0, rows, found.values_BTD), mask_BT.index_copy(0, rows, found.mask_BT))


def _called(encoder: nn.Module, values: Tensor, lengths_B: Tensor | None) -> Tokens:
    tokens: Tokens = encoder(values, lengths_B)
    return tokens


@contextlib.contextmanager
def _evaluating(encoder: nn.Module) -> Iterator[None]:
    """As a whole, so that gradient checkpointing does not compute it again in another mode."""
    trained = [module for module in encoder.modules() if module.training]
    encoder.eval()
    try:
        yield
    finally:
        for module in trained:
            module.training = True
