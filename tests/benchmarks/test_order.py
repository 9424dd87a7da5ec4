"""The simulation of many ranks would notice an order that is none."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import order as simulation
from tasks.shards.order import Order, Positions


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> tuple[int, ...]:
    for name, value in {"NUM_RANKS": 8, "PER_RANK": 2, "WHOLE_PER_RANK": 4, "BATCH": 16, "STEPS_TIMED": 3}.items():
        monkeypatch.setattr(simulation, name, value)
    return tuple(np.random.default_rng(0).integers(5, 15, 90).tolist())


def test_ranks_that_draw_each_sample_once_pass(small: tuple[int, ...]) -> None:
    _, left_out = simulation.check_permutation(small)
    assert left_out == sum(small) % 32


@pytest.mark.parametrize("wrong", ["twice", "missing"])
def test_a_sample_that_is_drawn_twice_or_never_is_an_error(small: tuple[int, ...], wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sound = Order.batch

    def spoiled(self: Order, epoch: int, step: int, rank: int = 0, world_size: int = 1) -> Positions:
        drawn = sound(self, epoch, step, rank, world_size)
        if rank < 7 or step != 3:
            return drawn
        return drawn[:-1] if wrong == "missing" else sound(self, epoch, step, 6, world_size)

    monkeypatch.setattr(Order, "batch", spoiled)
    with pytest.raises(RuntimeError, match="rank 7 drew"):
        simulation.check_permutation(small)


def test_a_rank_is_timed_and_its_memory_is_held_apart(small: tuple[int, ...]) -> None:
    def plan() -> Order:
        return Order(small, 0, 16, 8)

    assert set(simulation.timed(plan, 3)) == {"first_batch_ms", "next_batch_ms", "resume_90_percent_ms", "batch_90_percent_ms"}
    memory = simulation.held(plan, 3)
    assert 0 < memory["kept_mb"] <= memory["peak_mb"]
