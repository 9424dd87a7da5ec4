"""docs/fusions.md says of every fusion and trunk what is true of it, and its lines of a recipe are recipes."""

from __future__ import annotations

import re

import pytest
import yaml

from tasks.models.combinations import FUSING, GIVE_ONE_TOKEN
from tasks.models.fusions import FUSIONS
from tasks.models.trunks import TRUNKS
from tasks.registry import implementation
from tests.conftest import ROOT
from tests.tasks.models.example import config
from tests.tasks.models.fusing import MODALITIES

WIDTH = 64
PAGE = (ROOT / "docs" / "fusions.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Cells of the first table below a heading, without its own."""
    table = PAGE.partition(f"\n## {heading}\n")[2].partition("\n|")[2].partition("\n\n")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]]


def test_every_fusion_has_a_row_with_its_parameters_and_what_it_gives() -> None:
    told = {row[0].strip("`"): (row[2], row[3], row[4]) for row in rows("Fusions")}
    assert list(told) == [kind for kind in told if kind in FUSIONS]
    assert set(told) == set(FUSIONS)
    for kind, entry in FUSIONS.items():
        gives, _, parameters = told[kind]
        module = implementation(FUSIONS, kind)(entry.config(), MODALITIES, WIDTH)
        assert (gives == "one token") == (kind in GIVE_ONE_TOKEN), kind
        assert parameters == f"{sum(each.numel() for each in module.parameters()):,}", kind


def test_the_page_says_what_becomes_of_a_missing_modality_as_the_code_does() -> None:
    left_out = {row[0].strip("`") for row in rows("Fusions") if row[3].startswith("left out")}
    assert left_out == {"mean", "max", "weighted", "graph", "voting"}


def test_every_trunk_has_a_row_with_its_parameters() -> None:
    told = {row[0].strip("`"): row[2] for row in rows("Trunks")}
    sizes = {kind: implementation(TRUNKS, kind)(entry.config(), WIDTH) for kind, entry in TRUNKS.items()}
    assert told == {kind: f"{sum(each.numel() for each in module.parameters()):,}" for kind, module in sizes.items()}


@pytest.mark.parametrize("row", rows("Models of the literature, in a line or two"), ids=lambda row: row[0][:12])
def test_a_line_of_the_literature_is_a_recipe(row: list[str]) -> None:
    changes: dict[str, object] = {}
    for line in re.findall(r"`([^`]+)`", row[1]):
        changes |= yaml.safe_load(line)
        chosen = config(**changes).model_dump()
        for name, value in changes.items():
            given = value if isinstance(value, dict) or name == "placement" else {"kind": value}
            assert given == chosen[name] or given.items() <= chosen[name].items()


def test_the_page_has_a_row_for_what_cannot_work() -> None:
    assert len(rows("What cannot work")) == len(FUSING) - 2  # three rows of the code are one there: fusion, trunk and branch
