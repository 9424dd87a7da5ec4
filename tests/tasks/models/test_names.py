"""Names of a recipe as names of modules: none is an attribute of a module, and two are never one."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tasks.models.fused import build_model
from tests.tasks.models.example import LABELS, SHAPES, config


def test_a_head_may_be_called_as_an_attribute_of_a_module_is() -> None:
    heads = dict.fromkeys(("type", "forward", "a.b"), "classification")
    assert list(build_model(config(heads=heads), SHAPES, dict.fromkeys(heads, LABELS["digit"])).heads) == ["a/b_", "forward_", "type_"]


def test_names_that_would_share_a_module_are_refused() -> None:
    told = r"`heads`: 'a\.b' and 'a/b' would be one part of the model, since a dot in a name is stored as a stroke; rename one of them"
    with pytest.raises(ValidationError, match=told):
        config(heads=dict.fromkeys(("a.b", "a/b"), "classification"))
