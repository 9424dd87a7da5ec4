"""Stored pictures to tensors.

In: a member of a shard. Out: uint8 HWC per sample, and per batch float32 BCHW, normalised in one go.
B samples, C channels, H height, W width.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from tasks.contracts import Fit, ModalityBatch
from tasks.modalities import image_pixels as pixels
from tasks.modalities.config import ImageRead
from tasks.modalities.image_header import image_format, jpeg_size, open_image
from tasks.modalities.reused import Reused

MAX_PIXELS = 1_000_000_000
"""The most that `prepare` can allow."""

Part = tuple[float, float, float, float]
"""Left, top, right and bottom of a part of a picture, as shares of its width and height: 0 to 1, rising."""


@dataclass
class ImageReader:
    """`tasks.contracts.Reader` of pictures."""

    config: ImageRead
    shape: Mapping[str, int]
    mean: tuple[float, ...]
    """Per channel, of values 0 to 1."""
    std: tuple[float, ...]
    memory: Reused = field(default_factory=Reused, repr=False, compare=False)
    """Of batches."""

    @classmethod
    def build(cls, config: ImageRead, fit: Fit) -> ImageReader:
        height, width = config.size
        shape = {"channels": config.channels, "height": height, "width": width}
        if not config.normalise:
            return cls(config, shape, (0.0,) * config.channels, (1.0,) * config.channels)
        mean, std = (_channels(fit.values[name], config.channels) for name in ("mean", "std"))
        return cls(config, shape, mean, std)

    def read(self, data: bytes, slot: npt.NDArray[np.uint8] | None = None) -> npt.NDArray[np.uint8]:
        """uint8 HWC, in `slot` when the decoder gives that size. BadMember when the bytes are no whole picture."""
        if image_format(data) != "jpeg":
            return self.array(self.picture(data))
        pixels_HWC = self._jpeg(data, None, slot)
        if pixels_HWC.shape == (*self.config.size, self.config.channels):
            return pixels_HWC
        return self.array(self._sized(pixels.jpeg_image(pixels_HWC)))

    def picture(self, data: bytes, part: Part | None = None) -> Image.Image:
        """The picture, or a part of it in its place, as RGB or L of `size`. BadMember when the bytes are no whole picture.

        A JPEG is decoded no larger than `size` needs.
        """
        if image_format(data) == "jpeg":
            image = pixels.jpeg_image(self._jpeg(data, part))
        else:
            image = pixels.decode(open_image(data, MAX_PIXELS), self.config.channels == 1, "black")
        if part is not None:
            image = image.crop(_box(image.size, part))
        return self._sized(image)

    def array(self, image: Image.Image) -> npt.NDArray[np.uint8]:
        """uint8 HWC of what `picture` gives."""
        return np.asarray(image).reshape(*self.config.size, self.config.channels)

    def _jpeg(self, data: bytes, part: Part | None, slot: npt.NDArray[np.uint8] | None = None) -> npt.NDArray[np.uint8]:
        size = jpeg_size(data)
        return pixels.decode_jpeg_array(data, size, self.config.channels == 1, self._at_least(size, part), slot)

    def _sized(self, image: Image.Image) -> Image.Image:
        height, width = self.config.size
        fit, goal = self.config.fit, (width, height)
        size = pixels.inside(image.size, goal) if fit == "pad" else goal
        image = pixels.pad(pixels.scale(image, size, fit, "bilinear"), goal, "black")
        return image.convert("RGB") if self.config.channels == 3 and image.mode != "RGB" else image

    def _at_least(self, size: tuple[int, int], part: Part | None) -> tuple[int, int]:
        """The size that a decoded picture must not fall below, so that nothing, or no part of it, is enlarged without need."""
        height, width = self.config.size
        if part is not None:
            left, top, right, bottom = part
            size = max(1, round(size[0] * (right - left))), max(1, round(size[1] * (bottom - top)))
        wanted = pixels.inside(size, (width, height)) if self.config.fit == "pad" else (width, height)
        if part is None:
            return wanted
        return math.ceil(wanted[0] / (right - left)), math.ceil(wanted[1] / (bottom - top))

    def collate(self, values: Iterable[npt.NDArray[np.uint8] | None]) -> ModalityBatch:
        """float32 BCHW; zeros where a sample has no picture."""
        samples = values if isinstance(values, Sized) else list(values)
        shape = (self.shape["channels"], self.shape["height"], self.shape["width"])
        stacked_BHWC, there = self.stacked(samples)
        if not there:
            return ModalityBatch(torch.zeros((len(samples), *shape)))
        mean = torch.tensor(self.mean).mul_(255).view(-1, 1, 1)
        scale = torch.tensor(self.std).mul_(255).reciprocal_().view(-1, 1, 1)
        image_BCHW = torch.from_numpy(self.memory.empty((len(there), *shape), np.float32))
        image_BCHW.copy_(torch.from_numpy(stacked_BHWC).permute(0, 3, 1, 2)).sub_(mean).mul_(scale)
        if len(there) == len(samples):
            return ModalityBatch(image_BCHW)
        padded = torch.zeros((len(samples), *shape))
        padded[there] = image_BCHW
        return ModalityBatch(padded)

    def stacked(self, values: Iterable[npt.NDArray[np.uint8] | None]) -> tuple[npt.NDArray[np.uint8], list[int]]:
        """uint8 BHWC of the samples that have a picture, and where they stand among all.

        Pictures of the right size are decoded where they stand in the batch, and others are copied as soon as they are read, while they
        are in the processor's cache.
        """
        samples = values if isinstance(values, Sized) else list(values)
        stacked_BHWC = self.memory.empty((len(samples), *self.config.size, self.config.channels), np.uint8)
        slots = list(stacked_BHWC)
        there: list[int] = []
        for position, sample in enumerate(samples.into(slots) if hasattr(samples, "into") else samples):
            if sample is not None:
                slot = slots[len(there)]
                if sample is not slot:
                    slot[...] = sample
                there.append(position)
        return stacked_BHWC[: len(there)], there


def _box(size: tuple[int, int], part: Part) -> tuple[int, int, int, int]:
    """The part in pixels, at least one."""
    left, top = (min(int(share * side), side - 1) for share, side in zip(part[:2], size, strict=True))
    right, bottom = (round(share * side) for share, side in zip(part[2:], size, strict=True))
    return left, top, max(right, left + 1), max(bottom, top + 1)


def _channels(values: list[float], channels: int) -> tuple[float, ...]:
    """Statistics of as many channels as are read: one is repeated, three are averaged."""
    if len(values) == channels:
        return tuple(values)
    return tuple(values * channels) if len(values) == 1 else (sum(values) / len(values),)
