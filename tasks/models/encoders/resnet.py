"""Pictures to a grid of tokens by a residual network. Must not import ray or mlflow.

Shape suffixes: B samples, C channels, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial

from torch import Tensor, nn
from torchvision.models import resnet
from torchvision.ops import FrozenBatchNorm2d

from tasks.contracts import Reader
from tasks.models.encoders.config_image import ResNetConfig
from tasks.models.encoders.grid import Grid, in_colour
from tasks.models.encoders.weights import fill, read_weights
from tasks.models.tokens import Tokens, need

BUILD = {18: resnet.resnet18, 34: resnet.resnet34, 50: resnet.resnet50, 101: resnet.resnet101, 152: resnet.resnet152}
NORM_GROUPS = 32
REDUCTION = 32
"""Pixels of the picture that one place of the last map stands for, along a side."""


class ResNet(nn.Module):
    """torchvision's network without its classifier.

    Batch norm would let one sample change another. Random weights use group norm in its place (arXiv:1803.08494); weights from a file
    keep the statistics they were trained with, as constants.
    """

    def __init__(self, config: ResNetConfig, shape: Mapping[str, int], width: int) -> None:
        super().__init__()
        _, height, width_px = need(shape, ("channels", "height", "width"), config.kind)
        self.config = config
        self.body = BUILD[config.depth](norm_layer=FrozenBatchNorm2d if config.weights else partial(nn.GroupNorm, NORM_GROUPS))
        channels = self.body.fc.in_features
        del self.body.fc
        self.grid = Grid(channels, (math.ceil(height / REDUCTION), math.ceil(width_px / REDUCTION)), config.grid, width, config.dropout)

    def load_pretrained(self, reader: Reader) -> None:  # noqa: ARG002 - the call of every encoder
        """Fill the body from the file that the config names. Raises InputError when it does not fit."""
        if self.config.weights:
            weights = read_weights(self.config.weights)
            fill(self.body, weights, f"encoder 'resnet' of depth {self.config.depth}", ("fc.", "num_batches_tracked"))

    def forward(self, image_BCHW: Tensor, lengths_B: Tensor | None = None) -> Tokens:  # noqa: ARG002 - the call of every encoder
        body = self.body
        map_BCHW = body.maxpool(body.relu(body.bn1(body.conv1(in_colour(image_BCHW)))))
        tokens: Tokens = self.grid(body.layer4(body.layer3(body.layer2(body.layer1(map_BCHW)))))
        return tokens
