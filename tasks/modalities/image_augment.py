"""Stored pictures to varied tensors, for training.

In: a member of a shard and a seed. Out: uint8 HWC, as `image_reader` gives, which also collates it. What is done to a picture is
torchvision's `transforms.v2.functional`, on Pillow pictures (at 224 pixels an affine takes 1.6 ms, on tensors 3.6 ms); the random numbers
are our own, because its transform classes draw from the generator that all threads share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transform

from tasks.modalities.augment_config import ImageAugment
from tasks.modalities.chance import around, factor, generator
from tasks.modalities.image_reader import ImageReader, Part

ATTEMPTS = 10
"""Draws of a shape before one that does not fit is cut off at the picture's edge, as torchvision has it."""


@dataclass
class ImageAugmenter:
    """`tasks.contracts.Augmenter` of pictures."""

    config: ImageAugment
    reader: ImageReader

    def read(self, data: bytes, seed: int) -> npt.NDArray[np.uint8]:
        """uint8 HWC. BadMember when the bytes are no whole picture."""
        chance = generator(seed)
        part = _part(self.config, chance)
        image = _moved(self.reader.picture(data, part), self.config, chance, self._fill())
        pixels_HWC = self.reader.array(_coloured(image, self.config, chance))
        if self.config.erase and chance.random() < self.config.erase:
            pixels_HWC = pixels_HWC.copy()
            height, width = pixels_HWC.shape[:2]
            top, left, bottom, right = _erased(self.config, chance, height, width)
            pixels_HWC[top:bottom, left:right] = self._fill()
        return pixels_HWC

    def _fill(self) -> list[int]:
        """Colour of what is nowhere: 0 once it is normalised."""
        return [round(255 * mean) for mean in self.reader.mean]


def _part(config: ImageAugment, chance: np.random.Generator) -> Part | None:
    """What is cut out: an area, and a shape relative to the picture's own, so that validation's shape is in the middle of training's."""
    if config.crop is None:
        return None
    for _ in range(ATTEMPTS):
        area, stretch = chance.uniform(*config.crop), factor(chance, config.stretch)
        width, height = math.sqrt(area * stretch), math.sqrt(area / stretch)
        if width <= 1 and height <= 1:
            break
    width, height = min(width, 1.0), min(height, 1.0)
    left, top = chance.uniform(0, 1 - width), chance.uniform(0, 1 - height)
    return left, top, left + width, top + height


def _moved(image: Image.Image, config: ImageAugment, chance: np.random.Generator, fill: list[int]) -> Image.Image:
    if config.flip and chance.random() < config.flip:
        image = transform.horizontal_flip(image)
    if not config.rotate_degrees and not config.shift:
        return image
    angle = around(chance, 0, config.rotate_degrees)
    shift = [round(around(chance, 0, config.shift * side)) for side in image.size]
    options = {"scale": 1.0, "shear": [0.0, 0.0], "interpolation": InterpolationMode.BILINEAR, "fill": fill}
    moved: Image.Image = transform.affine(image, angle=angle, translate=shift, **options)
    return moved


def _coloured(image: Image.Image, config: ImageAugment, chance: np.random.Generator) -> Image.Image:
    """Always in this order: another one would be another chance to draw, and changes little."""
    for reach, adjust in (
        (config.brightness, transform.adjust_brightness),
        (config.contrast, transform.adjust_contrast),
        (config.saturation, transform.adjust_saturation),
    ):
        if reach:
            image = adjust(image, around(chance, 1, reach))
    return transform.adjust_hue(image, around(chance, 0, config.hue)) if config.hue else image


def _erased(config: ImageAugment, chance: np.random.Generator, height: int, width: int) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of a rectangle of at least one pixel, up to 3.3 times as long as wide (arXiv:1708.04896)."""
    area, stretch = height * width * chance.uniform(*config.erase_area), factor(chance, 3.3)
    tall = min(height, max(1, round(math.sqrt(area / stretch))))
    wide = min(width, max(1, round(math.sqrt(area * stretch))))
    top, left = int(chance.integers(height - tall + 1)), int(chance.integers(width - wide + 1))
    return top, left, top + tall, left + wide
