"""How deep each weight of an encoder lies, for learning rates that fall with depth. Must not import ray or mlflow."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn


def depths(encoder: nn.Module) -> dict[str, int]:
    """Weight → 0 before the first block, n in the n-th, one more behind the last. Empty for an encoder without blocks.

    A block is a module of several, with weights, in an `nn.Sequential` or `nn.ModuleList` that stands in no block itself. Lists of one
    length in one module are walked together, as attention over space and over time are.
    """
    numbers = dict(_numbers(encoder))
    last, passed = max(numbers.values(), default=0), 0
    found: dict[str, int] = {}
    for name, _ in encoder.named_parameters() if last else ():
        number = next((number for block, number in numbers.items() if name.startswith(f"{block}.")), None)
        passed = max(passed, number or 0)
        found[name] = number or (passed + 1 if passed == last else passed)
    return found


def _numbers(encoder: nn.Module) -> Iterator[tuple[str, int]]:
    """Block → its number, from 1, in the order in which the encoder holds them."""
    done: list[str] = []
    starts: dict[tuple[str, int], int] = {}
    count = 0
    for name, stack in encoder.named_modules():
        if not isinstance(stack, nn.Sequential | nn.ModuleList) or any(name.startswith(f"{other}.") for other in done):
            continue
        blocks = [f"{name}.{key}" if name else key for key, block in stack.named_children() if _is_block(block)]
        if not blocks:
            continue
        start = count
        if isinstance(stack, nn.ModuleList):
            start = starts.setdefault((name.rpartition(".")[0], len(blocks)), count)
        for number, block in enumerate(blocks, start + 1):
            yield block, number
        done += blocks
        count = max(count, start + len(blocks))


def _is_block(module: nn.Module) -> bool:
    return any(True for _ in module.children()) and any(True for _ in module.parameters())
