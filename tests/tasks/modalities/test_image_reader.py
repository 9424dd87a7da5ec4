"""`tasks.modalities.image_reader`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from tasks.contracts import Fit
from tasks.errors import BadMember
from tasks.modalities.config import ImageRead
from tasks.modalities.image_reader import ImageReader
from tests.tasks.modalities.pictures import pixels, saved

FIT = Fit({"count": 1, "mean": [0.1, 0.2, 0.3], "std": [0.5, 0.25, 1.0]})


def reader(learned: Fit = FIT, **options: Any) -> ImageReader:
    return ImageReader.build(ImageRead(**options), learned)


def test_values_are_normalised_per_channel() -> None:
    source = pixels(6, 4)
    batch = reader(size=[4, 6]).collate([reader(size=[4, 6]).read(saved(source, "PNG"))])
    expected = (torch.from_numpy(source.copy()).permute(2, 0, 1) / 255 - torch.tensor(FIT.values["mean"]).view(3, 1, 1)) / torch.tensor(
        FIT.values["std"]
    ).view(3, 1, 1)
    assert batch.values.shape == (1, 3, 4, 6)
    assert batch.values.dtype == torch.float32
    assert torch.allclose(batch.values[0], expected, atol=1e-5)
    assert batch.lengths is None


def test_without_normalising_values_are_zero_to_one() -> None:
    source = pixels(6, 4)
    plain = reader(size=[4, 6], normalise=False)
    values = plain.collate([plain.read(saved(source, "PNG"))]).values
    assert torch.allclose(values[0], torch.from_numpy(source.copy()).permute(2, 0, 1) / 255, atol=1e-6)


def test_absent_pictures_are_zeros_between_present_ones() -> None:
    plain = reader(size=[4, 6])
    one, two = plain.read(saved(pixels(6, 4, 1), "PNG")), plain.read(saved(pixels(6, 4, 2), "PNG"))
    values = plain.collate([one, None, two]).values
    assert not values[1].any()
    assert torch.equal(values[[0, 2]], plain.collate([one, two]).values)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_stored_format_is_read_to_the_asked_shape(kind: str, fit: str, channels: int) -> None:
    asked = reader(size=[20, 32], fit=fit, channels=channels)
    for mode in ("RGB", "L"):
        value = asked.read(saved(Pillow.fromarray(pixels(130, 90)).convert(mode), kind))
        assert (value.shape, value.dtype) == ((20, 32, channels), np.uint8)
    assert asked.shape == {"channels": channels, "height": 20, "width": 32}
    assert asked.collate([value]).values.shape == (1, channels, 20, 32)


def test_formats_agree_on_what_they_show() -> None:
    """Not to the bit: a JPEG that is eight times as large is averaged while it is decoded, others are filtered afterwards."""
    source = pixels(300, 200)
    small = reader(size=[25, 25])
    lossless = small.read(saved(source, "PNG")).astype(int)
    assert np.abs(small.read(saved(source, "JPEG", quality=95, subsampling=0)).astype(int) - lossless).mean() < 4


def test_a_palette_picture_is_read_in_its_colours() -> None:
    palette = Pillow.fromarray(pixels(20, 20)).quantize(8)
    assert np.array_equal(reader(size=[20, 20]).read(saved(palette, "PNG")), np.asarray(palette.convert("RGB")))


def test_pad_leaves_black_margins() -> None:
    value = reader(size=[20, 20], fit="pad").read(saved(np.full((10, 20, 3), 200, dtype=np.uint8), "PNG"))
    assert not value[:5].any()
    assert not value[15:].any()
    assert (value[5:15] == 200).all()


def test_statistics_of_another_number_of_channels_are_spread_or_averaged() -> None:
    assert reader(channels=1).mean == pytest.approx((0.2,))
    assert reader(Fit({"mean": [0.4], "std": [0.1]}), channels=3).std == (0.1, 0.1, 0.1)


def test_a_damaged_member_is_refused() -> None:
    with pytest.raises(BadMember, match="image/truncated"):
        reader().read(saved(pixels(200, 200), "JPEG", quality=95)[:3000])
