from __future__ import annotations

from tasks.evaluation.page.dag import dag
from tasks.evaluation.page.together import together


def step(name: str, status: str = "ran", **inputs: str) -> dict:
    return {"name": name, "task": "train", "key": f"key of {name}", "inputs": inputs, "status": status}


FAMILY = [
    step("shards"),
    *(step(f"model[seed={seed}]", "cached" if seed else "ran", shards="shards") for seed in range(3)),
    step("best", **{f"from[seed={seed}]": f"model[seed={seed}]" for seed in range(3)}),
    step("report", "", model="best", shards="shards", baseline="models:/digits@champion"),
]


def test_a_family_is_one_step_and_edges_go_to_it() -> None:
    steps, here = together(FAMILY, "report")
    assert here == "report"
    assert [each["name"] for each in steps] == ["shards", "model × 3", "best", "report"]
    assert steps[1] == step("model × 3", "in part", shards="shards") | {"key": ""}
    assert steps[2]["inputs"] == {"from": "model × 3"}
    assert steps[3] == FAMILY[-1]


def test_the_page_of_a_variant_stands_at_its_family() -> None:
    assert together(FAMILY, "model[seed=1]")[1] == "model × 3"
    drawn = dag(FAMILY, "model[seed=1]")
    assert drawn.count("<rect") == 5
    assert "this page" in drawn
    assert 'data-edge="model × 3 to best"' in drawn


def test_a_run_without_families_stays_as_it_is() -> None:
    steps = [step("a"), step("b", x="a")]
    assert together(steps, "b") == (steps, "b")
