"""`tasks.modalities.svg_render`, and SVG through `tasks.modalities.image`."""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as Pillow

from tasks.errors import BadMember, RecordError
from tasks.modalities.config import ImagePrepare
from tasks.modalities.image import Image
from tasks.modalities.svg_render import render_svg
from tests.tasks.modalities.drawings import rect, svg
from tests.tasks.modalities.pictures import array, huge_png, opened, pixels, saved

IMAGE = Image()


def encode(data: bytes, **options: Any) -> bytes:
    return IMAGE.encode(data, ImagePrepare(**{"format": "png", **options})).data


def refusal(data: bytes, **options: Any) -> RecordError:
    with pytest.raises(RecordError) as caught:
        encode(data, **options)
    return caught.value


def embedded(picture: bytes, kind: str = "image/png", tag: str = "image") -> str:
    return f"<{tag} width='80' height='60' xlink:href='data:{kind};base64,{base64.b64encode(picture).decode()}'/>"


# ---- drawn ------------------------------------------------------------------------------------------------------------


def test_an_svg_is_drawn_and_then_goes_the_way_of_any_picture() -> None:
    data = svg("<rect width='40' height='60' fill='#2060a0'/>")
    encoded = IMAGE.encode(data, ImagePrepare())
    assert (encoded.extension, encoded.stats["max_width"], encoded.stats["max_height"]) == ("jpg", 512, 384)
    drawn = array(encode(data))
    assert drawn.shape == (384, 512, 3)
    assert (drawn[:, :255] == [0x20, 0x60, 0xA0]).all()
    assert (drawn[:, 257:] == 255).all(), "the colour behind transparent pixels"
    assert (array(encode(data, alpha="black"))[:, 257:] == 0).all()
    assert opened(encode(data, mode="gray")).mode == "L"


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ('width="80" height="60"', (512, 384)),
        ('width="30mm" height="3cm"', (512, 512)),
        ('width="1in" height="72pt"', (512, 512)),
        ('viewBox="0 0 10 20"', (256, 512)),
        ('width="100%" height="100%" viewBox="-5,-5,40,10"', (512, 128)),
        ('width="50" viewBox="0 0 10 20"', (256, 512)),
        ('height="1e3" viewBox="0 0 10 20"', (256, 512)),
        ('width="100000" height="1"', (512, 1)),
    ],
)
def test_the_shape_comes_from_the_document_and_the_size_from_the_recipe(size: str, expected: tuple[int, int]) -> None:
    assert opened(encode(svg(rect(), size))).size == expected
    side = max(expected)
    assert opened(encode(svg(rect(), size), svg_side=64)).size == tuple(max(1, round(64 * length / side)) for length in expected)


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_a_larger_size_is_drawn_as_large_and_not_blown_up(fit: str) -> None:
    line = svg("<path d='M0 0 80 60' stroke='black'/>")
    assert opened(encode(line, svg_side=16, size=[300, 400], fit=fit)).size == (400, 300)
    sharp = array(encode(line, svg_side=16, size=[300, 400], fit=fit))
    assert np.abs(sharp - array(encode(line, svg_side=400))).max() <= 1
    assert max(opened(render_svg(line, 16, (50_000, 10), 1000)).size) == 4096


def test_max_side_applies_after_drawing() -> None:
    assert opened(encode(svg(rect()), max_side=100)).size == (100, 75)
    assert opened(encode(svg(rect()), max_side=1000)).size == (512, 384)


def test_a_document_without_view_box_is_scaled_as_a_whole() -> None:
    data = svg("<rect x='50%' width='50%' height='100%' fill='black'/>")
    assert (array(encode(data, svg_side=80))[:, 41:] == 0).all()
    assert (array(encode(data, svg_side=80))[:, :39] == 255).all()


def test_text_is_left_out_so_that_fonts_do_not_matter() -> None:
    assert encode(svg(rect() + "<text y='40' font-size='40'>words</text>")) == encode(svg(rect()))


def test_references_inside_of_the_document_are_followed() -> None:
    gradient = "<linearGradient id='a'><stop stop-color='#00ff00'/></linearGradient><linearGradient id='b' xlink:href='#a'/>"
    drawn = array(encode(svg(f"{gradient}<style>.x {{ fill: url('#b') }}</style><g id='g'>{rect(chr(99) + 'lass=' + repr('x'))}</g>")))
    assert (drawn == [0, 255, 0]).all()


@pytest.mark.parametrize(("kind", "tolerance"), [("PNG", 3), ("JPEG", 12)])
def test_pictures_inside_are_drawn(kind: str, tolerance: int) -> None:
    picture = pixels(80, 60)
    drawn = array(encode(svg(embedded(saved(picture, kind), f"image/{kind.lower()}")), svg_side=80))
    assert np.abs(drawn - picture)[1:-1, 1:-1].mean() < tolerance


def test_the_bytes_are_the_same_again() -> None:
    data = svg(
        f"<filter id='f'><feGaussianBlur stdDeviation='2'/></filter><circle r='30' filter='url(#f)' opacity='.3'/>{rect('rx=' + repr('9'))}"
    )
    assert encode(data) == encode(data)


# ---- refused ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A server on this machine, and the paths that it was asked for."""
    paths: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    server.server_close()


HOSTILE = [
    ("<image width='80' height='60' href='{}'/>", "image/svg_external"),
    ("<image width='80' height='60' xlink:href='{}'/>", "image/svg_external"),
    ("<use href='{}#a'/>", "image/svg_external"),
    ("<filter id='f'><feImage href='{}'/></filter><rect width='80' height='60' filter='url(#f)'/>", "image/svg_external"),
    ("<rect width='80' height='60' fill='url({}#p)'/>", "image/svg_external"),
    ("<style>@import url({});</style>", "image/svg_external"),
    ("<style>rect {{ mask: url({}#m) }}</style>", "image/svg_external"),
    ("<script href='{}'/>", "image/svg_script"),
    ("<foreignObject><img xmlns='http://www.w3.org/1999/xhtml' src='{}'/></foreignObject>", "image/svg_html"),
]


@pytest.mark.parametrize(("body", "reason"), HOSTILE)
def test_nothing_is_read_from_the_disk_or_the_network(body: str, reason: str, tmp_path: Path, asked: tuple[str, list[str]]) -> None:
    secret = tmp_path / "secret.png"
    Pillow.new("RGB", (80, 60), (200, 0, 0)).save(secret)
    address, paths = asked
    for target in (str(secret), secret.as_uri(), f"{address}/secret.png"):
        error = refusal(svg(body.format(target)))
        assert isinstance(error, BadMember)
        assert error.reason == reason
    doctype = f'<!DOCTYPE svg [<!ENTITY x SYSTEM "{address}/x">]>'.encode()
    assert refusal(doctype + svg("&x;")).reason == "image/svg_entities"
    assert paths == []


@pytest.mark.parametrize("left_out", ["<a href='{}'/>", "<metadata><x xmlns='y' href='{}'/></metadata>", "<?xml-stylesheet href='{}'?>"])
def test_what_is_left_out_is_not_read_either(left_out: str, tmp_path: Path, asked: tuple[str, list[str]]) -> None:
    address, paths = asked
    assert encode(svg(left_out.format(f"{address}/a") + rect())) == encode(svg(rect()))
    outer = f"<?xml-stylesheet href='{address}/a.css'?><!DOCTYPE svg SYSTEM '{address}/a.dtd'>".encode()
    assert encode(outer + svg(rect())) == encode(svg(rect()))
    assert paths == []


@pytest.mark.parametrize(
    "size", ["", 'width="10"', 'width="0" height="5"', 'width="-4" height="5"', 'width="100%" height="100%"', 'width="x" height="y"']
)
def test_a_document_that_does_not_say_its_size_is_refused(size: str) -> None:
    error = refusal(svg(rect(), size))
    assert error.reason == "image/svg_size"
    assert "does not say how large it is" in error.detail


@pytest.mark.parametrize("box", ["0 0 0 5", "0 0 1e999 5", "a b c d", "1 2 3"])
def test_a_view_box_that_makes_no_sense_is_refused_or_ignored(box: str) -> None:
    assert refusal(svg(rect(), f'viewBox="{box}"')).reason == "image/svg_size"


def test_pictures_inside_keep_the_limit_on_pixels_all_together() -> None:
    assert "50000 x 50000" in refusal(svg(embedded(huge_png(50_000)))).detail
    two = svg(embedded(saved(pixels(80, 60), "PNG")) * 2)
    encode(two, max_pixels=9600 * 1000)
    with pytest.raises(BadMember, match="image/too_large"):
        render_svg(two, 512, None, 9599)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (embedded(saved(pixels(9, 9), "PNG")[:-30]), "image/truncated"),
        (embedded(saved(pixels(9, 9), "GIF")), "image/format"),
        (embedded(svg(rect()), "image/svg+xml"), "image/format"),
        ("<image href='data:image/png,%89PNG'/>", "image/format"),
        ("<image href='data:image/png;base64,####'/>", "image/corrupt"),
        ("<image href='data:image/png;base64,'/>", "image/empty"),
    ],
)
def test_pictures_inside_must_be_whole_pngs_or_jpegs(body: str, reason: str) -> None:
    assert refusal(svg(body)).reason == reason


def test_formats_that_a_recipe_does_not_accept_are_refused_before_they_are_drawn() -> None:
    error = refusal(svg("<script/>"), accept=["png", "jpeg"])
    assert (error.reason, error.detail) == ("image/format", "svg; `accept` of its `prepare` allows png, jpeg")
    assert refusal(saved(pixels(9, 9), "BMP"), accept=["svg"]).detail == "bmp; `accept` of its `prepare` allows svg"


def test_a_picture_by_another_name_is_known_by_its_content() -> None:
    data = saved(pixels(40, 30), "PNG")
    assert encode(data) == data, "whatever the file was called"


@pytest.mark.parametrize("position", [0.0, 0.3, 0.6, 0.99])
def test_damage_is_never_more_than_a_bad_member(position: float) -> None:
    data = svg(f"<g transform='rotate(3)'>{rect()}<path d='M0 0 C 1 2 3 4 5 6 Z' stroke='red'/></g><style>.a {{ fill: blue }}</style>")
    generator = np.random.default_rng(int(position * 100))
    for _ in range(60):
        damaged = bytearray(data)
        for place in generator.integers(int(position * len(data)), len(data), size=2):
            damaged[place] = int(generator.integers(32, 127))
        try:
            encode(bytes(damaged), svg_side=16)
        except RecordError as error:
            assert error.reason.startswith("image/")
