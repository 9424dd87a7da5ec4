"""The gate's rates of error, in small: fewer pairs and chains than `python -m benchmarks gate` draws."""

from __future__ import annotations

import pytest

from benchmarks.gate import (
    ALONE,
    ALPHA,
    CHAINED,
    GROUPED,
    Chain,
    World,
    crept,
    judge,
    most_lost,
    passes,
    promoted_alone,
    promoted_in_groups,
    rate,
)


@pytest.mark.parametrize("test", ["mcnemar", "bootstrap"])
@pytest.mark.parametrize("name", ["300_seldom", "300"])
def test_a_model_worse_by_the_margin_gets_through_no_more_often_than_allowed(name: str, test: str) -> None:
    world = ALONE[name]
    assert promoted_alone(world, test, -world.margin, 4000) / 4000 <= ALPHA + 0.008


@pytest.mark.parametrize("test", ["mcnemar", "bootstrap"])
def test_an_equal_model_gets_through_as_often_as_the_power_rule_states(test: str) -> None:
    world = ALONE["300"]
    stated = judge(300, 15, 15, test).power(-world.margin, 0.0, 1 - ALPHA)
    assert promoted_alone(world, test, 0.0, 4000) / 4000 == pytest.approx(stated, abs=0.03)


def test_what_is_found_by_halving_is_what_the_gate_decides() -> None:
    world = World(200, 0.1, 0.05)
    for test in ("mcnemar", "bootstrap"):
        most = most_lost(world, test, 6)
        assert passes(world, test, 6, most)
        assert not passes(world, test, 6, most + 1)


def test_groups_that_differ_do_not_make_it_bold() -> None:
    assert promoted_in_groups(GROUPED["100_groups_of_10"], 60) <= 9


def test_chains_creep_without_the_guard_and_not_with_it() -> None:
    chain = Chain(600, 0.05, 0.04, -0.01, 0.008)
    assert crept(chain, 60, guarded=False) > 50
    assert crept(chain, 60, guarded=True) <= 8
    assert CHAINED["fifth"].mean < 0


def test_a_rate_is_judged_by_its_upper_bound() -> None:
    entry = rate(500, 10_000, 0.056)
    assert (entry["median"], entry["ok"]) == (0.05, True)
    assert 0.054 < entry["high"] < 0.056
    assert not rate(520, 10_000, 0.056)["ok"]
    assert rate(0, 100, 0.05)["low"] == 0.0
