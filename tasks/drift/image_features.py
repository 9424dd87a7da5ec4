"""What a stored picture is like: size, brightness, contrast, colour, sharpness.

In: bytes of a member. Out: eight numbers. All but the size are taken from the picture scaled into a square of `SIDE` pixels, so that they
cost the same for every picture and sharpness is that of the whole, not of the sensor. Must not import torch.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from tasks.drift.features import Measured
from tasks.modalities import image_pixels as pixels
from tasks.modalities.image_header import open_image

SIDE = 256
MAX_PIXELS = 1_000_000_000
"""The most that `prepare` can allow."""
DARK, BRIGHT = 0.1, 0.9
LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)
"""Of ITU-R BT.601, as JPEG and Pillow have it."""


def image_features(data: bytes) -> Measured:
    """See `features.WORDS`. BadMember when the bytes are no whole picture."""
    header = open_image(data, MAX_PIXELS)
    width, height = (header.height, header.width) if header.turned else (header.width, header.height)
    small = min(header.width, SIDE), min(header.height, SIDE)
    image = pixels.decode(header, gray=False, background="white", at_least=small)
    if max(image.size) > SIDE:
        image = image.resize(pixels.inside(image.size, (SIDE, SIDE)), Image.Resampling.BOX)
    values_HWC = np.asarray(image, dtype=np.float32).reshape(image.height, image.width, -1) / 255
    luma_HW = values_HWC @ LUMA if values_HWC.shape[2] == 3 else values_HWC[:, :, 0]
    return Measured(
        {
            "width": float(width),
            "height": float(height),
            "brightness": float(luma_HW.mean()),
            "contrast": float(luma_HW.std()),
            "saturation": float((values_HWC.max(2) - values_HWC.min(2)).mean()),
            "sharpness": _sharpness(luma_HW),
            "dark": float((luma_HW < DARK).mean()),
            "bright": float((luma_HW > BRIGHT).mean()),
        }
    )


def _sharpness(luma_HW: np.ndarray) -> float:
    """Deviation of the discrete Laplacian, over the contrast: how much of what changes does so from one pixel to the next. 0 when flat."""
    if min(luma_HW.shape) < 3:
        return 0.0
    middle = luma_HW[1:-1, 1:-1]
    laplacian = luma_HW[:-2, 1:-1] + luma_HW[2:, 1:-1] + luma_HW[1:-1, :-2] + luma_HW[1:-1, 2:] - 4 * middle
    contrast = float(luma_HW.std())
    return float(laplacian.std()) / contrast if contrast > 1e-4 else 0.0
