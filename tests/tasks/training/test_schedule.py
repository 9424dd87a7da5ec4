"""The learning rate over the steps."""

from __future__ import annotations

import pytest

from tasks.training.config import ScheduleConfig
from tasks.training.schedule import share


def test_it_rises_over_the_warm_up_and_falls_to_the_floor() -> None:
    config = ScheduleConfig(warmup=0.1, floor=0.2)
    shares = [share(config, step, 100) for step in range(100)]
    assert shares[0] == pytest.approx(1 / 11)
    assert shares[10] == 1.0
    assert shares[:11] == sorted(shares[:11])
    assert shares[10:] == sorted(shares[10:], reverse=True)
    assert shares[55] == pytest.approx(0.6)
    assert shares[-1] == pytest.approx(0.2, abs=0.001)


def test_a_training_of_one_step_has_its_full_rate() -> None:
    assert share(ScheduleConfig(warmup=0.0), 0, 1) == 1.0
    assert share(ScheduleConfig(warmup=0.5), 0, 1) == 1.0
