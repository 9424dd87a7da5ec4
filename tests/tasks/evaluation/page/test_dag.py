from __future__ import annotations

import re

from tasks.evaluation.page.dag import dag


def step(name: str, **inputs: str) -> dict:
    return {"name": name, "task": "train", "key": "abc" * 20, "inputs": inputs, "status": "ran"}


def test_each_step_stands_right_of_its_inputs() -> None:
    place = _places([step("a"), step("b", x="a"), step("c", x="a", y="b"), step("d", x="a")])
    assert place["a"][0] < place["b"][0] < place["c"][0]
    assert place["d"][0] == place["b"][0]
    assert place["d"][1] > place["b"][1]


def test_outside_references_are_boxes_of_their_own() -> None:
    drawn = dag([step("a"), step("report", model="a", baseline="models:/digits@champion")], "report")
    assert "outside this run" in drawn
    assert "@champion" in drawn
    assert "this page" in drawn


def test_every_edge_is_drawn_once() -> None:
    drawn = dag([step("a"), step("b", x="a", y="a"), step("c", x="b", y="a")], "c")
    assert re.findall(r'data-edge="([^"]*)"', drawn) == ["a to b", "b to c", "a to c"]


def test_no_two_boxes_overlap_in_a_wide_graph() -> None:
    steps = [step("root")] + [step(f"s{number}", x="root") for number in range(12)] + [step("end", **{f"i{n}": f"s{n}" for n in range(12)})]
    spots = list(_places(steps).values())
    assert len(spots) == len(set(spots)) == 14


def test_a_very_long_chain_is_drawn_too() -> None:
    assert len(_places([step("s0"), *(step(f"s{number}", x=f"s{number - 1}") for number in range(1, 1500))])) == 1500


def _places(steps: list[dict]) -> dict[str, tuple[float, float]]:
    """Box name → left top corner, as drawn."""
    found = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)"[^>]*></rect><text [^>]*class="name">([^<]*)<', dag(steps, ""))
    return {name: (float(x), float(y)) for x, y, name in found}
