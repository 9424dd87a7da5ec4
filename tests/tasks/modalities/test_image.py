"""`tasks.modalities.image`: what is kept, what is changed and how, what is refused."""

from __future__ import annotations

import io
import resource
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageCms, ImageOps
from pydantic import ValidationError

from tasks.errors import BadMember, FilteredOut, RecordError
from tasks.modalities import merge_all
from tasks.modalities.config import ImageFit, ImagePrepare
from tasks.modalities.image import Image
from tasks.modalities.image_pixels import inside
from tests.tasks.modalities.pictures import PROBES, array, huge_png, opened, pixels, saved

IMAGE = Image()


def encode(data: bytes, **options: Any) -> bytes:
    return IMAGE.encode(data, ImagePrepare(**options)).data


def refusal(data: bytes, **options: Any) -> RecordError:
    with pytest.raises(RecordError) as caught:
        encode(data, **options)
    return caught.value


# ---- kept -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "extension"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")])
def test_a_picture_that_needs_no_change_keeps_its_bytes(kind: str, extension: str) -> None:
    data = saved(pixels(40, 30), kind)
    encoded = IMAGE.encode(data, ImagePrepare(max_side=40))
    assert (encoded.data, encoded.extension) == (data, extension)


def test_grey_palette_and_bilevel_pictures_are_kept_too() -> None:
    picture = Pillow.fromarray(pixels(40, 30))
    for other in (picture.convert("L"), picture.quantize(16), picture.convert("1")):
        data = saved(other, "PNG")
        assert encode(data) == data


def test_a_kept_picture_may_be_taken_on_its_header_alone() -> None:
    data = saved(pixels(40, 30), "JPEG")[:-200]
    assert refusal(data).reason == "image/truncated"
    encoded = IMAGE.encode(data, ImagePrepare(verify="header"))
    assert encoded.data == data
    assert (encoded.stats["max_width"], encoded.stats["max_height"]) == (40, 30)
    assert refusal(b"not a picture", verify="header").reason == "image/format"


def test_without_decoding_no_mean_of_pixels_is_known() -> None:
    kept = IMAGE.encode(saved(pixels(40, 30), "JPEG"), ImagePrepare(verify="header", max_side=40)).stats
    changed = IMAGE.encode(saved(pixels(80, 60), "JPEG"), ImagePrepare(verify="header", max_side=40)).stats
    fit = IMAGE.fit(ImageFit(), merge_all([kept, changed]), lambda: iter(()))
    assert fit.values == {"count": 2, "mean": [0.0], "std": [1.0]}
    assert "verify" not in ImagePrepare().model_dump(mode="json")


def test_nothing_is_kept_when_no_format_is() -> None:
    data = saved(pixels(40, 30), "PNG")
    assert opened(encode(data, keep=[])).format == "JPEG"
    assert opened(encode(data, keep=["jpeg"])).format == "JPEG"


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF"])
def test_formats_that_are_not_stored_are_encoded_as_asked(kind: str) -> None:
    data = saved(Pillow.fromarray(pixels(40, 30)).quantize(200) if kind == "GIF" else Pillow.fromarray(pixels(40, 30)), kind)
    encoded = IMAGE.encode(data, ImagePrepare(format="png"))
    assert encoded.extension == "png"
    assert np.array_equal(array(encoded.data), array(data))


def test_of_an_animation_the_first_frame_is_stored() -> None:
    frames = [Pillow.fromarray(pixels(20, 20, seed)) for seed in (1, 2)]
    data = saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    stored = opened(encode(data, format="png"))
    assert np.array_equal(np.asarray(stored), np.asarray(frames[0]))


# ---- changed ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_ends_upright(orientation: int) -> None:
    exif = Pillow.Exif()
    exif[0x0112] = orientation
    data = saved(pixels(40, 30), "PNG", exif=exif)
    expected = np.asarray(ImageOps.exif_transpose(opened(data)))
    stored = encode(data, format="png", keep=[])
    assert np.array_equal(array(stored), expected)
    assert opened(stored).getexif().get(0x0112, 1) == 1


def test_a_turned_picture_is_measured_and_scaled_upright() -> None:
    exif = Pillow.Exif()
    exif[0x0112] = 6
    data = saved(pixels(400, 300), "JPEG", exif=exif, quality=95)
    assert opened(encode(data, size=[80, 60])).size == (60, 80)
    encoded = IMAGE.encode(data, ImagePrepare(max_side=100))
    assert opened(encoded.data).size == (75, 100)
    assert encoded.stats["max_height"] == 100
    expected = ImageOps.exif_transpose(opened(data)).resize((75, 100), Pillow.Resampling.BICUBIC)
    assert np.abs(array(encoded.data) - np.asarray(expected).astype(int)).mean() < 3


def test_transparent_pixels_show_the_chosen_colour() -> None:
    rgba = np.dstack([pixels(8, 8), np.full((8, 8), 0, dtype=np.uint8)])
    rgba[0, 0, 3] = 255
    for kind, colour in (("white", 255), ("black", 0)):
        stored = array(encode(saved(rgba, "PNG"), alpha=kind, format="png"))
        assert (stored[1:] == colour).all()
        assert np.array_equal(stored[0, 0], rgba[0, 0, :3])


def test_a_transparent_palette_and_a_transparent_grey_are_composited() -> None:
    palette = Pillow.fromarray(pixels(8, 8)).quantize(4)
    first = np.asarray(palette)[0, 0]
    stored = array(encode(saved(palette, "PNG", transparency=int(first)), format="png"))
    assert (stored[np.asarray(palette) == first] == 255).all()
    grey = Pillow.fromarray(np.zeros((4, 4), dtype=np.uint8))
    assert opened(encode(saved(grey, "PNG", transparency=0), format="png")).mode == "L"
    assert (array(encode(saved(grey, "PNG", transparency=0), format="png")) == 255).all()


def test_sixteen_bits_become_eight() -> None:
    deep = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    assert np.array_equal(array(encode(saved(Pillow.fromarray(deep), "PNG"), format="png"), "L"), np.arange(256).reshape(16, 16))


def test_cmyk_becomes_rgb() -> None:
    data = (PROBES / "image-cmyk.jpg").read_bytes()
    stored = opened(encode(data, format="png"))
    assert stored.mode == "RGB"
    assert np.array_equal(np.asarray(stored), np.asarray(opened(data).convert("RGB")))


def test_a_colour_profile_is_applied_as_littlecms_does() -> None:
    data = (PROBES / "image-profile.jpg").read_bytes()
    source = opened(data)
    profile = ImageCms.ImageCmsProfile(io.BytesIO(source.info["icc_profile"]))
    expected = ImageCms.profileToProfile(source, profile, ImageCms.createProfile("sRGB"))
    stored = array(encode(data, format="png"))
    assert np.abs(stored - np.asarray(expected).astype(int)).mean() < 1
    assert np.abs(stored - np.asarray(source).astype(int)).mean() > 5
    assert "icc_profile" not in opened(encode(data)).info


def test_an_srgb_profile_and_a_broken_one_change_nothing() -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (srgb, b"nothing of the kind"):
        data = saved(pixels(20, 20), "JPEG", icc_profile=profile)
        assert encode(data) == data


def test_gray_mode_stores_one_channel_and_keeps_grey_sources() -> None:
    colour, grey = saved(pixels(40, 30), "JPEG"), saved(Pillow.fromarray(pixels(40, 30)).convert("L"), "JPEG")
    assert opened(encode(colour, mode="gray")).mode == "L"
    assert encode(grey, mode="gray") == grey
    assert len(IMAGE.encode(colour, ImagePrepare(mode="gray")).stats["sum"]) == 1
    assert opened(encode(grey, size=[10, 10])).mode == "L", "grey stays grey in rgb mode: readers expand it"


@pytest.mark.parametrize(
    ("size", "limit", "expected"), [((400, 300), 200, (200, 150)), ((300, 401), 100, (75, 100)), ((1000, 1), 10, (10, 1))]
)
def test_max_side_scales_down_in_proportion(size: tuple[int, int], limit: int, expected: tuple[int, int]) -> None:
    assert opened(encode(saved(pixels(*size), "PNG"), max_side=limit)).size == expected


def test_max_side_never_enlarges() -> None:
    assert opened(encode(saved(pixels(40, 30), "BMP"), max_side=100)).size == (40, 30)


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("size", [(100, 50), (50, 100), (20, 10)])
def test_an_exact_size_is_exact(fit: str, size: tuple[int, int]) -> None:
    assert opened(encode(saved(pixels(*size), "PNG"), size=[48, 64], fit=fit)).size == (64, 48)


def test_crop_takes_the_middle_and_pad_leaves_margins() -> None:
    stripes = np.zeros((60, 120, 3), dtype=np.uint8)
    stripes[:, 30:90] = 200
    data = saved(stripes, "PNG")
    assert (array(encode(data, size=[60, 60], fit="crop", format="png")) == 200).all()
    padded = array(encode(data, size=[120, 120], fit="pad", format="png"))
    assert (padded[:30] == 255).all()
    assert (padded[90:] == 255).all()
    assert (padded[35:85, 60] == 200).all()


@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_scaling_while_decoding_stays_close_to_scaling_afterwards(fit: str) -> None:
    data = saved(pixels(801, 603), "JPEG", quality=95)
    fast = array(encode(data, size=[100, 100], fit=fit, format="png"))
    whole = opened(data)
    box = (99.0, 0.0, 702.0, 603.0) if fit == "crop" else None
    slow = np.asarray(whole.resize((100, 100), Pillow.Resampling.BICUBIC, box=box)).astype(int)
    assert np.abs(fast - slow).mean() < 1.5


def test_quality_and_format_decide_the_bytes() -> None:
    data = saved(pixels(64, 64), "BMP")
    assert len(encode(data, quality=30)) < len(encode(data, quality=95))
    assert opened(encode(data, format="webp")).format == "WEBP"


def test_inside_rounds_exactly() -> None:
    assert inside((3, 2), (100, 100)) == (100, 67)
    assert inside((1, 1000), (10, 10)) == (1, 10)
    assert inside((10, 10), (30, 20)) == (20, 20)


# ---- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("options", [{}, {"size": [16, 16]}, {"mode": "gray"}])
def test_a_truncated_jpeg_is_refused_also_where_its_bytes_would_be_kept(part: float, options: dict[str, Any]) -> None:
    data = saved(pixels(300, 200), "JPEG", quality=95)
    error = refusal(data[: int(len(data) * part)], **options)
    assert isinstance(error, BadMember)
    assert error.reason == "image/truncated"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_other_truncated_formats_are_refused(kind: str) -> None:
    data = saved(Pillow.fromarray(pixels(120, 90)), kind)
    assert refusal(data[: len(data) * 2 // 3]).reason in {"image/truncated", "image/corrupt"}


def test_a_png_of_50000_by_50000_is_refused_before_it_takes_memory() -> None:
    data = huge_png(50_000)
    assert len(data) < 1000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    error = refusal(data)
    assert error.reason == "image/too_large"
    assert "50000 x 50000 are 2500000000 pixels; `max_pixels` of its `prepare` allows 100000000" in error.detail
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 20_000, "kilobytes of the peak"


def test_the_pixel_limit_is_ours_and_not_pillows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pillow, "MAX_IMAGE_PIXELS", 50)
    data = saved(pixels(40, 30), "PNG")
    assert encode(data) == data
    assert refusal(data, max_pixels=1199).reason == "image/too_large"
    assert encode(data, max_pixels=1200) == data


@pytest.mark.parametrize("kind", ["GIF", "BMP", "WEBP", "JPEG", "TIFF"])
def test_the_pixel_limit_holds_for_every_format(kind: str) -> None:
    picture = Pillow.fromarray(pixels(40, 30))
    data = saved(picture.quantize(8) if kind == "GIF" else picture, kind)
    assert refusal(data, max_pixels=1000).reason == "image/too_large"


def test_a_webp_that_promises_a_huge_canvas_is_refused_unopened() -> None:
    frames = [Pillow.fromarray(pixels(20, 20, seed)) for seed in (1, 2)]
    data = bytearray(saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]))
    assert data[12:16] == b"VP8X"
    data[24:30] = (16_382).to_bytes(3, "little") * 2
    assert refusal(bytes(data)).reason == "image/too_large"
    for options in ({"lossless": True}, {"lossless": False}):
        assert refusal(saved(frames[0], "WEBP", **options), max_pixels=399).detail.startswith("20 x 20 are 400 pixels")


@pytest.mark.parametrize("data", [b"GIF90a....", b"\x00" * 40, b"%PDF-1.7", b"RIFF\x00\x00\x00\x00WAVEfmt "])
def test_what_is_no_known_format_is_refused_by_its_first_bytes(data: bytes) -> None:
    error = refusal(data)
    assert error.reason == "image/format"
    assert data[:4].hex(" ") in error.detail


def test_an_empty_file_is_refused() -> None:
    assert refusal(b"").reason == "image/empty"


def test_floating_point_pixels_are_refused() -> None:
    assert refusal(saved(Pillow.fromarray(np.zeros((4, 4), dtype=np.float32)), "TIFF")).reason == "image/format"


def test_small_pictures_are_filtered_out_by_the_shorter_upright_side() -> None:
    with pytest.raises(FilteredOut, match=r"image/min_side: 40 x 30 pixels"):
        encode(saved(pixels(40, 30), "PNG"), min_side=31)
    encode(saved(pixels(40, 30), "PNG"), min_side=30)


def test_webp_cannot_store_very_long_sides() -> None:
    assert refusal(saved(np.zeros((1, 17_000, 3), dtype=np.uint8), "PNG"), format="webp", keep=[]).reason == "image/too_large"


@pytest.mark.parametrize("options", [{"size": [0, 5]}, {"size": [5, 70_000]}, {"size": [5, 5], "max_side": 5}, {"quality": 0}, {"kep": []}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ImagePrepare(**options)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")  # Pillow on corrupt EXIF blocks
@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP"])
def test_damage_is_never_more_than_a_bad_member(kind: str) -> None:
    data = saved(Pillow.fromarray(pixels(30, 20)), kind)
    generator = np.random.default_rng(1)
    for _ in range(150):
        damaged = bytearray(data)
        for position in generator.integers(min(len(data), 250), size=2):
            damaged[position] = int(generator.integers(256))
        try:
            encode(bytes(damaged), max_pixels=1_000_000)
        except RecordError as error:
            assert error.reason.startswith("image/")


# ---- statistics -------------------------------------------------------------------------------------------------------


def test_mean_and_deviation_are_those_of_all_training_pixels() -> None:
    sources = [pixels(40, 30, seed) for seed in range(3)]
    stats = merge_all(IMAGE.encode(saved(source, "PNG"), ImagePrepare()).stats for source in sources)
    fit = IMAGE.fit(ImageFit(), stats, lambda: iter(())).values
    values = np.concatenate([source.reshape(-1, 3) for source in sources]) / 255
    assert np.allclose(fit["mean"], values.mean(0), atol=1e-12)
    assert np.allclose(fit["std"], values.std(0), atol=1e-12)
    assert (stats["count"], stats["pixels"], stats["min_width"], stats["max_height"]) == (3, 3600, 40, 30)


def test_a_grey_picture_counts_in_all_three_channels() -> None:
    grey = np.full((4, 5), 7, dtype=np.uint8)
    stats = IMAGE.encode(saved(grey, "PNG"), ImagePrepare()).stats
    assert (stats["sum"], stats["sum_sq"], stats["pixels"]) == ([140] * 3, [980] * 3, 20)


def test_statistics_of_a_large_picture_come_from_a_grid() -> None:
    source = pixels(1400, 700)
    stats = IMAGE.encode(saved(source, "PNG", compress_level=1), ImagePrepare()).stats
    assert (stats["pixels"], stats["max_width"]) == (512 * 256, 1400)
    assert np.allclose(np.asarray(stats["sum"]) / stats["pixels"], source.reshape(-1, 3).mean(0), atol=1)


def test_a_fit_of_one_colour_does_not_divide_by_zero() -> None:
    stats = IMAGE.encode(saved(np.full((4, 4, 3), 9, dtype=np.uint8), "PNG"), ImagePrepare()).stats
    assert IMAGE.fit(ImageFit(), stats, lambda: iter(())).values["std"] == [1 / 255] * 3
