"""`tasks.modalities.svg_cost`: small files that ask for too much."""

from __future__ import annotations

import pytest

from tasks.errors import BadMember
from tasks.modalities.svg_cost import check_cost
from tasks.modalities.svg_document import parse_svg
from tests.tasks.modalities.drawings import rect, svg


def refusal(body: str) -> BadMember:
    with pytest.raises(BadMember) as caught:
        check_cost(parse_svg(svg(body)))
    return caught.value


def laughs(tag: str, link: str, levels: int = 10) -> str:
    """Each of `levels` definitions uses the next one ten times."""
    made = [f"<{tag} id='a{level}'>{link.format(level + 1) * 10}</{tag}>" for level in range(levels)]
    return "".join(made) + f"<{tag} id='a{levels}'>{rect()}</{tag}>{link.format(0)}"


def test_an_ordinary_picture_passes() -> None:
    body = "<defs><g id='g'>" + rect() * 50 + "</g><filter id='f'><feGaussianBlur stdDeviation='3'/></filter></defs>"
    check_cost(parse_svg(svg(body + "<use href='#g' filter='url(#f)' opacity='0.5'/>" * 20)))


@pytest.mark.parametrize(
    ("tag", "link"),
    [
        ("g", "<use href='#a{}'/>"),
        ("symbol", "<use xlink:href='#a{}'/>"),
        ("pattern", "<rect fill='url(#a{})'/>"),
        ("mask", "<rect style='mask:url(#a{})'/>"),
        ("clipPath", "<rect clip-path='url(\"#a{}\")'/>"),
        ("marker", "<path d='M0 0 1 1' marker-end='url(#a{})'/>"),
    ],
)
def test_definitions_that_multiply_are_refused(tag: str, link: str) -> None:
    error = refusal(laughs(tag, link))
    assert error.reason == "image/too_large"
    assert "the SVG unfolds to " in error.detail


def test_a_marker_counts_at_every_corner() -> None:
    marker = "<marker id='m'>" + rect() * 100 + "</marker>"
    assert refusal(f"{marker}<path marker-mid='url(#m)' d='M0 0{' 1 1' * 1000}'/>").reason == "image/too_large"
    assert refusal(f"<style>path {{ marker: url(#m) }}</style>{marker}<path d='M0 0{' 1 1' * 1000}'/>").reason == "image/too_large"


@pytest.mark.parametrize(
    "body", ["<g id='a'><use href='#a'/></g>", "<pattern id='a'><rect fill='url(#b)'/></pattern><g id='b' mask='url(#a)'/>"]
)
def test_what_refers_to_itself_is_refused(body: str) -> None:
    error = refusal(body)
    assert error.reason == "image/corrupt"
    assert "refers to itself" in error.detail


@pytest.mark.parametrize("step", [1, -1])
def test_a_long_chain_of_references_is_refused_in_either_order(step: int) -> None:
    links = [f"<g id='a{number}'><use href='#a{number + 1}'/></g>" for number in range(3000)]
    assert "more than 96 elements inside one another" in refusal("".join(links[::step]) + f"<g id='a3000'>{rect()}</g>").detail


@pytest.mark.parametrize(
    "step",
    [
        "<feTurbulence numOctaves='1000'/>",
        "<feTurbulence numOctaves='1e6' style='numOctaves:1'/>",
        "<feConvolveMatrix order='3,200'/>",
        "<feGaussianBlur/>" * 400,
        "<feFlood/>" * 5000,
    ],
)
def test_filters_that_take_long_are_refused(step: str) -> None:
    error = refusal(f"<filter id='f'>{step}</filter>")
    assert error.reason == "image/too_large"
    assert "layers and filter steps" in error.detail


def test_filters_count_as_often_as_they_are_used() -> None:
    blur = "<filter id='f'><feGaussianBlur stdDeviation='1'/></filter>"
    check_cost(parse_svg(svg(blur + rect("filter='url(#f)'") * 300)))
    assert refusal(blur + rect("filter='url(#f)'") * 400).reason == "image/too_large"
    assert refusal(f"<style>rect {{ filter: url(#f) }}</style>{blur}" + rect() * 400).reason == "image/too_large"


def test_morphology_is_refused_since_its_time_grows_with_the_square_of_its_radius() -> None:
    assert refusal("<filter><feMorphology radius='200'/></filter>").reason == "image/svg_filter"


def test_layers_count_in_attributes_styles_and_style_sheets() -> None:
    for layer in ("opacity='0.5'", "style='opacity:.5'", "style='mix-blend-mode: multiply'"):
        assert refusal(f"<g id='g'>{rect(layer) * 200}</g>" + "<use href='#g'/>" * 110).reason == "image/too_large"
    plain = f"<g id='g'>{rect() * 200}</g>" + "<use href='#g'/>" * 110
    check_cost(parse_svg(svg(plain)))
    assert refusal("<style>rect { opacity : 0.5 }</style>" + plain).reason == "image/too_large"
