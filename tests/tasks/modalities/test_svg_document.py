"""`tasks.modalities.svg_document`: what is kept of an SVG, and what is refused."""

from __future__ import annotations

import gzip

import pytest

from tasks.errors import BadMember
from tasks.modalities import svg_document
from tasks.modalities.svg_document import Element, looks_like_xml, parse_svg
from tests.tasks.modalities.drawings import rect, svg


def names(element: Element) -> list[str]:
    return [element.name, *(name for child in element.children for name in names(child))]


def refusal(data: bytes) -> BadMember:
    with pytest.raises(BadMember) as caught:
        parse_svg(data)
    return caught.value


# ---- kept -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b" \n", b'<?xml version="1.0"?>', b"<!-- a -->"])
def test_a_document_is_known_by_its_first_character(start: bytes) -> None:
    assert looks_like_xml(start + svg())
    assert parse_svg(start.lstrip() + svg()).name == "svg"
    assert not looks_like_xml(b"\x89PNG")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1", "koi8-r"])
def test_every_encoding_that_is_declared_is_read(encoding: str) -> None:
    text = f'<?xml version="1.0" encoding="{encoding}"?>' + svg('<g id="g">\u00b7</g>').decode()
    data = text.encode(encoding)
    assert looks_like_xml(data)
    assert names(parse_svg(data)) == ["svg", "g"]


def test_only_what_is_drawn_is_kept() -> None:
    body = (
        "<title>t</title><metadata><rdf xmlns='r'><g/></rdf></metadata><other xmlns='o'><g/></other><animate/><text>words</text><!-- c -->"
        f"<?xml-stylesheet href='file:///x.css'?><g onclick='x()' o:href='file:///x' xmlns:o='o' xml:space='preserve'>{rect()}</g>"
    )
    root = parse_svg(svg(body))
    assert names(root) == ["svg", "g", "rect"]
    assert root.children[0].attributes == {"xml:space": "preserve"}


def test_references_inside_of_the_document_are_kept_and_links_left_out() -> None:
    body = "<a xlink:href='https://example.org/'><use xlink:href='#r' fill='url(#g)' style='mask: url( &quot;#m&quot; )'/></a>"
    use = parse_svg(svg(body)).children[0].children[0]
    assert use.attributes == {"href": "#r", "fill": "url(#g)", "style": 'mask: url( "#m" )'}
    assert parse_svg(svg(body)).children[0].attributes == {}


def test_a_doctype_without_entities_is_no_obstacle() -> None:
    doctype = b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">'
    assert names(parse_svg(doctype + svg(rect()))) == ["svg", "rect"]


def test_the_copy_that_illustrator_keeps_in_a_switch_is_left_out() -> None:
    assert names(parse_svg(svg(f"<switch><foreignObject><x/></foreignObject><g>{rect()}</g></switch>"))) == ["svg", "switch", "g", "rect"]


# ---- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "<image href='photo.png'/>",
        "<image xlink:href='/etc/hostname'/>",
        "<image xlink:href=' file:///etc/hostname'/>",
        "<image href='#a' xlink:href='http://127.0.0.1/x.png'/>",
        "<use href='other.svg#part'/>",
        "<use xlink:href='data:image/svg+xml;base64,AAAA#part'/>",
        "<filter><feImage xlink:href='https://example.org/x.png'/></filter>",
        "<linearGradient xlink:href='//example.org/g.svg#g'/>",
        "<rect fill='url(other.svg#g)'/>",
        "<rect fill='URL( \"http://example.org/g\" )'/>",
        "<rect style='fill:url(file:///x#g)'/>",
        "<rect style='fill:u\\72l(x)'/>",
        "<rect fill='url(#a) url(b)'/>",
        "<style>@import 'http://example.org/a.css';</style>",
        "<style>@IMPORT url(a.css);</style>",
        "<style>@font-face { src: url(font.woff) }</style>",
        "<style><![CDATA[ .a { fill: url('http://example.org/#g') } ]]></style>",
        "<style>.a { fill: \\75 rl(x) }</style>",
    ],
)
def test_what_leads_out_of_the_file_is_refused(body: str) -> None:
    error = refusal(svg(body))
    assert error.reason == "image/svg_external"
    assert "nothing outside of the SVG is read; put what it needs into the file itself" in error.detail


@pytest.mark.parametrize(
    "doctype",
    [
        '<!DOCTYPE svg [<!ENTITY a "b">]>',
        '<!DOCTYPE svg [<!ENTITY a SYSTEM "file:///etc/hostname">]>',
        '<!DOCTYPE svg [<!ENTITY % a SYSTEM "http://127.0.0.1/a.dtd"> %a;]>',
        '<!DOCTYPE svg [<!ENTITY a "&b;&b;&b;&b;"><!ENTITY b "&c;&c;&c;&c;"><!ENTITY c "lol">]>',
    ],
)
def test_entities_are_refused_before_one_is_expanded(doctype: str) -> None:
    error = refusal(doctype.encode() + svg("<g id='&a;'/>"))
    assert error.reason == "image/svg_entities"
    assert "entity 'a'" in error.detail


def test_an_entity_of_a_document_type_elsewhere_is_refused() -> None:
    assert refusal(b'<!DOCTYPE svg SYSTEM "http://127.0.0.1/x.dtd">' + svg("<g>&logo;</g>")).reason == "image/svg_entities"


def test_scripts_and_html_are_refused() -> None:
    assert refusal(svg("<script>draw()</script>")).reason == "image/svg_script"
    assert refusal(svg("<g><foreignObject><p xmlns='http://www.w3.org/1999/xhtml'>x</p></foreignObject></g>")).reason == "image/svg_html"


@pytest.mark.parametrize("data", [b"<svg></svg>", b"<html><body/></html>", b'<?xml version="1.0"?><note xmlns="n"/>'])
def test_other_xml_is_refused_by_its_first_element(data: bytes) -> None:
    error = refusal(data)
    assert error.reason == "image/format"
    assert "not `svg` of http://www.w3.org/2000/svg" in error.detail


def test_a_document_cut_anywhere_is_refused() -> None:
    data = svg(f"<g><style>.a {{ fill: red }}</style>{rect()}</g>")
    for end in range(1, len(data)):
        assert refusal(data[:end]).reason in {"image/truncated", "image/corrupt"}, end


@pytest.mark.parametrize("data", [svg("<g>"), svg("</g>"), svg("&lt"), svg("\x01"), b'<?xml version="1.0" encoding="none"?>' + svg()])
def test_what_is_not_well_formed_is_refused(data: bytes) -> None:
    assert refusal(data).reason == "image/corrupt"


def test_limits_on_bytes_elements_and_depth_hold_while_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "more than 64 elements inside one another" in refusal(svg("<g>" * 64)).detail
    assert "more than 64" in refusal(svg("<metadata>" + "<x>" * 64)).detail, "also where nothing is drawn"
    monkeypatch.setattr(svg_document, "MAX_ELEMENTS", 100)
    assert refusal(svg("<g/>" * 100)).reason == "image/too_large"
    monkeypatch.setattr(svg_document, "MAX_BYTES", 100)
    assert refusal(svg(" " * 100)).reason == "image/too_large"


def test_a_compressed_svg_is_not_taken_for_one() -> None:
    assert not looks_like_xml(gzip.compress(svg()))
