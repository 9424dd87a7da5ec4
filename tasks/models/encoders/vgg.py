"""Pictures to a grid of tokens by VGG's convolutions. Must not import ray or mlflow.

Shape suffixes: B samples, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torchvision.models import vgg

from tasks.contracts import Reader
from tasks.errors import InputError
from tasks.models.encoders.config_image import VGG_REDUCTION, VggConfig
from tasks.models.encoders.grid import Grid, in_colour
from tasks.models.encoders.weights import fill, read_weights
from tasks.models.tokens import Tokens, need

LAYERS = {11: "A", 13: "B", 16: "D", 19: "E"}
"""Depth → the paper's letter, by which torchvision lists the layers."""


class Vgg(nn.Module):
    """torchvision's `features` without batch norm and without the classifier: nothing of one sample reaches another."""

    def __init__(self, config: VggConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        _, height, width_px = need(shape, ("channels", "height", "width"), config.kind)
        if wrong := config.unfit(height, width_px):
            raise InputError(wrong)
        self.config = config
        self.body = nn.ModuleDict({"features": vgg.make_layers(vgg.cfgs[LAYERS[config.depth]], batch_norm=False)})
        for layer in self.body["features"].modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                assert layer.bias is not None
                nn.init.zeros_(layer.bias)
        self.grid = Grid(512, (height // VGG_REDUCTION, width_px // VGG_REDUCTION), config.grid, width, config.dropout)

    def load_pretrained(self, reader: Reader) -> None:  # noqa: ARG002 - the call of every encoder
        """Fill the body from the file that the config names. Raises InputError when it does not fit."""
        if self.config.weights:
            fill(self.body, read_weights(self.config.weights), f"encoder 'vgg' of depth {self.config.depth}", ("classifier.",))

    def forward(self, image_BCHW: Tensor, lengths_B: Tensor | None = None) -> Tokens:  # noqa: ARG002 - the call of every encoder
        tokens: Tokens = self.grid(self.body["features"](in_colour(image_BCHW)))
        return tokens
