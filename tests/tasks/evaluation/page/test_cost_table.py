from __future__ import annotations

from tasks.evaluation.page.cost_table import cost_section
from tests.tasks.evaluation.example import cost


def test_both_models_stand_side_by_side_with_how_they_were_timed() -> None:
    drawn = cost_section({"cost": cost(184_330), "baseline_cost": cost(171_204)})
    for said in (
        "Candidate",
        "Baseline",
        "184,330",
        "171,204",
        "742\u202fkB",
        "3.69\u202fms",
        "in turns",
        "100 calls",
        "with 2 threads",
        "2 CPUs",
    ):
        assert said in drawn


def test_a_model_alone_has_one_column() -> None:
    drawn = cost_section({"cost": cost(1000) | {"threads": 1}})
    assert drawn.count("<td") == 4
    assert "Baseline" not in drawn
    assert "in turns" not in drawn
    assert "with 1 thread on" in drawn
