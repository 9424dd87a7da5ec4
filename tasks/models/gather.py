"""One tensor out of those of all ranks, with gradients, for losses that look at the whole global batch. Must not import ray or mlflow.

Shape suffixes: B samples of this rank, G samples of all ranks.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.nn import functional as dist_F


def gathered(tensor_B: Tensor) -> Tensor:
    """The rows of all ranks in the order of ranks, G first; what there is when there is one process. Every rank gives as many rows."""
    if not _several():
        return tensor_B
    return torch.cat(tuple(dist_F.all_gather(tensor_B.contiguous())))


def own_rows(count: int, device: torch.device) -> Tensor:
    """Int64 B: where this rank's `count` rows are in `gathered`."""
    first = dist.get_rank() * count if _several() else 0
    return torch.arange(first, first + count, device=device)


def _several() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1
