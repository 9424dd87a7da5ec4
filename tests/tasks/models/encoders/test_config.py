"""What settings of an encoder rule out by themselves, told when a recipe is checked."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import ValidationError

from tasks.models.encoders import ENCODERS


@pytest.mark.parametrize("kind", ["cnn", "regions", "frame_cnn_lstm"])
def test_channels_that_are_normed_in_groups_are_multiples_of_a_group(kind: str) -> None:
    with pytest.raises(ValidationError, match=r"channels\.1\n  Input should be a multiple of 8"):
        ENCODERS[kind].config.model_validate({"channels": [8, 12]})


@pytest.mark.parametrize(
    ("kind", "settings", "sentence"),
    [
        ("cnn_3d", {"halve_time": 4}, "`halve_time` is 4, but there are 3 convolutions; lower it, or give more `channels`"),
        (
            "tcn",
            {"kernel": 63, "layers": 16},
            (
                "16 `layers` with a `kernel` of 63 reach over 2,031,616 steps in the last layer, by which each sequence is padded, and "
                "65,536 are the most; lower one of them"
            ),
        ),
    ],
)
def test_settings_that_do_not_go_together_are_told(kind: str, settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(f"Value error, {sentence} [")):
        ENCODERS[kind].config.model_validate(settings)


def test_a_tcn_of_usual_kernel_may_have_all_layers_there_are() -> None:
    ENCODERS["tcn"].config.model_validate({"kernel": 3, "layers": 16})
