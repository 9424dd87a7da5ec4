"""Pictures to a class token and a token a patch by a Vision Transformer. Must not import ray or mlflow.

Shape suffixes: B samples, C channels, H height, W width, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from tasks.contracts import Reader
from tasks.errors import InputError
from tasks.models.encoders.config_image import VitConfig
from tasks.models.encoders.grid import all_valid, in_colour
from tasks.models.encoders.weights import fill, read_weights
from tasks.models.tokens import Tokens, need


class Vit(nn.Module):
    """torchvision's network without its classifier; the class token is the first token."""

    def __init__(self, config: VitConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        _, height, width_px = need(shape, ("channels", "height", "width"), config.kind)
        if wrong := config.unfit(height, width_px):
            raise InputError(wrong)
        self.config = config
        self.body = VisionTransformer(
            height, config.patch, config.layers, config.num_heads, config.hidden, config.feed_forward, config.dropout, num_classes=1
        )
        del self.body.heads
        self.project = nn.Linear(config.hidden, width)
        self.norm = nn.LayerNorm(width)

    def load_pretrained(self, reader: Reader) -> None:  # noqa: ARG002 - the call of every encoder
        """Fill the body from the file that the config names. Raises InputError when it does not fit."""
        if self.config.weights:
            fill(self.body, read_weights(self.config.weights), "encoder 'vit' with this `patch`, sizes and picture", ("heads.",))

    def forward(self, image_BCHW: Tensor, lengths_B: Tensor | None = None) -> Tokens:  # noqa: ARG002 - the call of every encoder
        patches_BTD = self.body.conv_proj(in_colour(image_BCHW)).flatten(2).transpose(1, 2)
        values_BTD = torch.cat([self.body.class_token.expand(patches_BTD.shape[0], -1, -1), patches_BTD], 1)
        return all_valid(self.norm(self.project(self.body.encoder(values_BTD))))
