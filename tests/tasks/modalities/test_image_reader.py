"""`tasks.modalities.image_reader`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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


class Taken:
    """`tasks.modalities.readings.Readings` of stored pictures, and what was given to and came from the reader for each."""

    def __init__(self, reader: ImageReader, stored: list[bytes | None]) -> None:
        self.reader, self.stored = reader, stored
        self.in_place: list[bool] = []

    def __len__(self) -> int:
        return len(self.stored)

    def __iter__(self) -> Iterator[Any]:
        raise AssertionError("a reader whose `read` takes a slot asks for `into`")

    def into(self, slots: Sequence[Any]) -> Iterator[Any]:
        free = iter(slots)
        for data in self.stored:
            if data is None:
                yield None
                continue
            slot = next(free)
            value = self.reader.read(data, slot)
            self.in_place.append(value is slot)
            yield value


@pytest.mark.parametrize("channels", [1, 3])
def test_jpegs_of_the_right_size_are_decoded_where_they_stand_in_the_batch(channels: int) -> None:
    plain = reader(Fit(), size=[24, 32], channels=channels, normalise=False)
    kinds = [(32, 24, "JPEG"), (64, 48, "JPEG"), None, (70, 50, "JPEG"), (32, 24, "PNG"), (32, 24, "JPEG")]
    stored = [None if kind is None else saved(pixels(kind[0], kind[1], seed), kind[2]) for seed, kind in enumerate(kinds)]
    taken = Taken(plain, stored)
    stacked, there = plain.stacked(taken)
    assert there == [0, 1, 3, 4, 5]
    assert taken.in_place == [True, True, False, False, True]
    assert np.array_equal(stacked, np.stack([plain.read(data) for data in stored if data is not None]))


def test_a_damaged_jpeg_is_refused_with_a_slot_as_without_one() -> None:
    plain = reader(size=[24, 32])
    whole = saved(pixels(32, 24), "JPEG")
    for data in (whole[: len(whole) // 2], whole[:10], b""):
        for slot in ((), (np.empty((24, 32, 3), np.uint8),)):
            with pytest.raises(BadMember):
                plain.read(data, *slot)


def test_a_batch_that_is_held_stays_as_it_is_while_others_are_made() -> None:
    plain = reader(size=[4, 6])
    values = [plain.read(saved(pixels(6, 4, seed), "PNG")) for seed in range(8)]
    alone = [reader(size=[4, 6]).collate([value]).values.clone() for value in values]
    held = [plain.collate([value]).values for value in values[:4]]
    for value in values[4:]:
        plain.collate([value])
    assert all(torch.equal(one, other) for one, other in zip(held, alone, strict=False))


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
