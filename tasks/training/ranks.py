"""The processes of one training as the loop sees them: who I am, and sums over all. Must not import ray or mlflow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


@dataclass(frozen=True)
class Ranks:
    """One process among `world_size`; alone by default, and then every sum is the value itself."""

    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    control: Any = None
    """Group for small numbers on the CPU: sums there never wait for a GPU."""

    def sum(self, values: Sequence[float]) -> list[float]:
        """Sum of each value over all ranks, in float64. Every rank must call it equally often."""
        if self.world_size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(total, group=self.control)
        return [float(value) for value in total]

    def sum_tensor(self, tensor: Tensor) -> Tensor:
        """Sum over all ranks of a tensor on `device`, in place."""
        if self.world_size > 1:
            dist.all_reduce(tensor)
        return tensor


def connected(device: torch.device) -> Ranks:
    """Ranks of the process group that is up, else the lone process."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return Ranks(device=device)
    control = None if dist.get_backend() == "gloo" else dist.new_group(backend="gloo")
    return Ranks(dist.get_rank(), dist.get_world_size(), device, control)
