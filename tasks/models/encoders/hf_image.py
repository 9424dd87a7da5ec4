"""Pictures to tokens by a pretrained model of Hugging Face Transformers. Must not import ray or mlflow.

Shape suffixes: B samples, C channels, H height, W width, T tokens, D features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from tasks.contracts import Reader
from tasks.errors import InputError
from tasks.models.encoders import hugging_face
from tasks.models.encoders.config_pretrained import HfImageConfig
from tasks.models.encoders.grid import all_valid, in_colour
from tasks.models.encoders.hf_probe import check_pictures, still_unused, usable
from tasks.models.tokens import Tokens, need


class HfImage(nn.Module):
    """The tokens of the last layer, a class token among them where the model has one."""

    def __init__(self, config: HfImageConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        _, height, width_px = need(shape, ("channels", "height", "width"), config.kind)
        given = config.architecture or hugging_face.architecture(config)
        self.config = config
        with usable(config, given):
            self.body = hugging_face.build(config, given)
            sizes = cast(Any, self.body.config)
            high, wide = _sides(getattr(sizes, "image_size", (height, width_px)))
            if (height, width_px) != (high, wide):
                raise InputError(
                    f"encoder 'hf_image': {config.model} takes pictures of {high} by {wide} pixels, given {height} by {width_px}; "
                    f"set `size: [{high}, {wide}]` in its `read`"
                )
            for parameter in self.body.parameters():
                parameter.requires_grad_(config.tune)
            self.project = nn.Linear(sizes.hidden_size, width)
            self.norm = nn.LayerNorm(width)
            self.dropout = nn.Dropout(config.dropout)
            still_unused(self.body, lambda: self._hidden_BTD(torch.zeros(1, 3, high, wide)))
            check_pictures(config, self.body, self._hidden_BTD, (high, wide))

    def load_pretrained(self, reader: Reader) -> None:  # noqa: ARG002 - the call of every encoder
        """Fill the body from the folder or the hub. Raises InputError when it does not fit."""
        if self.config.pretrained:
            self.body.load_state_dict(hugging_face.load(self.config, self.body).state_dict())

    def forward(self, image_BCHW: Tensor, lengths_B: Tensor | None = None) -> Tokens:  # noqa: ARG002 - the call of every encoder
        return all_valid(self.dropout(self.norm(self.project(self._hidden_BTD(in_colour(image_BCHW))))))

    def _hidden_BTD(self, image_BCHW: Tensor) -> Tensor:
        hidden_BTD: Tensor = self.body(pixel_values=image_BCHW).last_hidden_state
        return hidden_BTD


def _sides(size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width, as a config gives them: one number for both, or two."""
    return (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
