"""Stored pictures to tensors.

In: a member of a shard. Out: uint8 HWC per sample, and per batch float32 BCHW, normalised in one go.
B samples, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from tasks.contracts import Fit, ModalityBatch
from tasks.modalities import image_pixels as pixels
from tasks.modalities.config import ImageRead
from tasks.modalities.image_header import image_format, jpeg_size, open_image

MAX_PIXELS = 1_000_000_000
"""The most that `prepare` can allow."""


@dataclass
class ImageReader:
    """`tasks.contracts.Reader` of pictures."""

    config: ImageRead
    shape: Mapping[str, int]
    mean: tuple[float, ...]
    """Per channel, of values 0 to 1."""
    std: tuple[float, ...]

    @classmethod
    def build(cls, config: ImageRead, fit: Fit) -> ImageReader:
        height, width = config.size
        shape = {"channels": config.channels, "height": height, "width": width}
        if not config.normalise:
            return cls(config, shape, (0.0,) * config.channels, (1.0,) * config.channels)
        mean, std = (_channels(fit.values[name], config.channels) for name in ("mean", "std"))
        return cls(config, shape, mean, std)

    def read(self, data: bytes) -> npt.NDArray[np.uint8]:
        """uint8 HWC. BadMember when the bytes are no whole picture."""
        gray = self.config.channels == 1
        height, width = self.config.size
        fit, goal = self.config.fit, (width, height)
        if image_format(data) == "jpeg":
            size = jpeg_size(data)
            image = pixels.decode_jpeg(data, size, gray, pixels.inside(size, goal) if fit == "pad" else goal)
        else:
            header = open_image(data, MAX_PIXELS)
            image = pixels.decode(header, gray, "black")
        size = pixels.inside(image.size, goal) if fit == "pad" else goal
        image = pixels.pad(pixels.scale(image, size, fit, "bilinear"), goal, "black")
        if not gray and image.mode != "RGB":
            image = image.convert("RGB")
        return np.asarray(image).reshape(height, width, self.config.channels)

    def collate(self, values: Iterable[npt.NDArray[np.uint8] | None]) -> ModalityBatch:
        """float32 BCHW; zeros where a sample has no picture."""
        samples = list(values)
        shape = (self.shape["channels"], self.shape["height"], self.shape["width"])
        there = [position for position, sample in enumerate(samples) if sample is not None]
        if not there:
            return ModalityBatch(torch.zeros((len(samples), *shape)))
        stacked_BHWC = np.stack([sample for sample in samples if sample is not None])
        mean = torch.tensor(self.mean).mul_(255).view(-1, 1, 1)
        scale = torch.tensor(self.std).mul_(255).reciprocal_().view(-1, 1, 1)
        image_BCHW = torch.from_numpy(stacked_BHWC).permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format)
        image_BCHW.sub_(mean).mul_(scale)
        if len(there) == len(samples):
            return ModalityBatch(image_BCHW)
        padded = torch.zeros((len(samples), *shape))
        padded[there] = image_BCHW
        return ModalityBatch(padded)


def _channels(values: list[float], channels: int) -> tuple[float, ...]:
    """Statistics of as many channels as are read: one is repeated, three are averaged."""
    if len(values) == channels:
        return tuple(values)
    return tuple(values * channels) if len(values) == 1 else (sum(values) / len(values),)
