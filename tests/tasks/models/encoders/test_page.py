"""docs/encoders.md lists every kind with its media and its size."""

from __future__ import annotations

import re

import pytest

from tasks.models.encoders import ENCODERS
from tasks.registry import implementation
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "encoders.md").read_text(encoding="utf-8")
ROWS = {
    kind: (media.split(", "), size) for kind, media, size in re.findall(r"^\| `(\w+)` \| ([\w, ]+) \|.*\| (.+) \|$", PAGE, re.MULTILINE)
}
SHAPES = {
    "image": {"channels": 3, "height": 224, "width": 224},
    "text": {"vocab_size": 8192, "max_tokens": 256},
    "waveform": {"features": 1},
    "audio": {"features": 64},
    "sensor": {"features": 6},
    "video": {"frames": 16, "channels": 3, "height": 112, "width": 112},
    "table": {"numbers": 8, "categories": 2, "category_0": 10, "category_1": 10},
}
"""Medium → the shape that the page counts parameters for, as it says."""
NEEDED = {"word_vectors": {"weights": "vectors.txt"}}
OF_THE_FOLDER = ("hf_image", "hf_text")


def test_the_page_has_a_row_for_each_kind_in_the_order_of_the_registry() -> None:
    assert list(ROWS) == list(ENCODERS)


@pytest.mark.parametrize("kind", ENCODERS)
def test_a_row_names_the_media_that_the_config_names(kind: str) -> None:
    assert ROWS[kind][0] == list(ENCODERS[kind].config.media)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [kind for kind in ENCODERS if kind not in OF_THE_FOLDER])
def test_a_row_counts_the_parameters(kind: str) -> None:
    entry = ENCODERS[kind]
    medium = ROWS[kind][0][0]
    built = implementation(ENCODERS, kind)(entry.config.model_validate(NEEDED.get(kind, {})), SHAPES[medium], 64)
    assert ROWS[kind][1] == f"{sum(parameter.numel() for parameter in built.parameters()):,}"
