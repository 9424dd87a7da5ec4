from __future__ import annotations

import pytest

from tasks.evaluation.page.markup import Markup, join, raw_block, shorten, tag


def test_text_is_escaped_and_markup_is_not() -> None:
    assert tag("p", "<b>&", tag("i", "x")) == "<p>&lt;b&gt;&amp;<i>x</i></p>"


def test_attributes_are_always_escaped() -> None:
    assert tag("a", title='"><script>', data_tip="a'b") == '<a title="&quot;&gt;&lt;script&gt;" data-tip="a&#x27;b"></a>'
    assert tag("a", title=Markup('"')) == '<a title="&quot;"></a>'


def test_attributes_can_be_left_out_or_have_no_value() -> None:
    assert tag("audio", controls=True, loop=False, title=None, class_="x") == '<audio controls class="x"></audio>'


def test_void_elements_have_no_end() -> None:
    assert tag("img", src="data:,") == '<img src="data:,">'


def test_numbers_have_at_most_two_decimals() -> None:
    assert tag("rect", x=1 / 3, y=2.0, width=10) == '<rect x="0.33" y="2" width="10"></rect>'


def test_none_is_left_out_and_iterables_are_flattened() -> None:
    assert join("a", None, [1, ["b", 2.5]]) == "a1b2.5"


def test_control_characters_and_lone_surrogates_are_replaced() -> None:
    text = tag("p", "a\x00b\ud800c\x1b\n")
    assert text == "<p>a\ufffdb\ufffdc\ufffd\n</p>"
    text.encode("utf-8")


def test_our_own_blocks_must_not_close_themselves() -> None:
    assert raw_block("style", "a > b {}") == "<style>a > b {}</style>"
    with pytest.raises(AssertionError, match="closed early"):
        raw_block("script", "'</script>'")


def test_long_text_is_shortened_with_an_ellipsis() -> None:
    assert shorten("abcdef", 4) == "abc…"
    assert shorten("abcd", 4) == "abcd"
