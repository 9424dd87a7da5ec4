"""Memory of batches: taken again when nobody holds it, and not before."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from tasks.modalities.reused import MAX_SPARE, Reused

SHAPE = (4, 3, 2)


def address(array: npt.NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def test_memory_is_used_again_once_its_array_is_gone() -> None:
    memory = Reused()
    first = memory.empty(SHAPE, np.float32)
    assert (first.shape, first.dtype) == (SHAPE, np.float32)
    assert first.flags.writeable
    at = address(first)
    del first
    again = memory.empty((2, 3, 4), np.float32)
    assert address(again) == at
    assert address(memory.empty(SHAPE, np.float32)) != at


@pytest.mark.parametrize(
    "held",
    [
        torch.from_numpy,
        lambda array: torch.from_numpy(array)[1:].permute(2, 0, 1),
        lambda array: torch.from_numpy(array).numpy(),
        lambda array: torch.from_numpy(array).detach().view(-1)[3:],
        lambda array: torch.from_dlpack(array),
        lambda array: array[2:],
        lambda array: array.reshape(-1)[1:],
        lambda array: list(array)[3],
        lambda array: np.asarray(array).view(np.uint8).T,
        lambda array: memoryview(array),
        lambda array: np.frombuffer(array, dtype=np.uint8),
        lambda array: array.flat,
    ],
)
def test_memory_is_left_alone_while_anything_of_it_is_held(held: Callable[[npt.NDArray[Any]], Any]) -> None:
    memory = Reused()
    array = memory.empty(SHAPE, np.float32)
    at, view = address(array), held(array)
    del array
    assert address(memory.empty(SHAPE, np.float32)) != at
    del view
    assert at in {address(taken) for taken in [memory.empty(SHAPE, np.float32) for _ in range(2)]}


def test_an_array_outlives_what_lent_it() -> None:
    array = Reused().empty(SHAPE, np.uint8)
    array[...] = 7
    assert array.sum() == 7 * array.size


def test_no_more_than_a_few_blocks_are_kept() -> None:
    memory = Reused()
    held = [memory.empty(SHAPE, np.uint8) for _ in range(3 * MAX_SPARE)]
    places = {address(array) for array in held}
    assert len(places) == len(held)
    del held
    assert len(memory._spare) == MAX_SPARE


def test_empty_shapes_and_pickles() -> None:
    memory = Reused()
    assert memory.empty((0, 3), np.float32).shape == (0, 3)
    assert pickle.loads(pickle.dumps(memory)).empty((2,), np.uint8).shape == (2,)


def test_threads_never_get_the_same_memory() -> None:
    memory = Reused()

    def work(number: int) -> bool:
        for _ in range(200):
            array = memory.empty((1000,), np.int64)
            array[...] = number
            tensor = torch.from_numpy(array)
            del array
            if not bool((tensor == number).all()):
                return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))
