"""Headers that lie, and small files that unfold to much: what each format's own fields can be made to say."""

from __future__ import annotations

import base64
import io
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import soundfile
from PIL import Image

from tasks.modalities.audio_ogg import _checksum
from tests.chaos.good_media import GOOD
from tests.tasks.modalities import drawings, sounds
from tests.tasks.modalities.pictures import saved

Lie = tuple[str, str, bytes]
"""Kind of GOOD, what is wrong, the file."""

HUGE = 0x7FFFFFFF


def lies() -> Iterator[Lie]:
    """All of them: the same on every call."""
    for kind, made in (("png", _png()), ("jpeg", _jpeg()), ("gif", _gif()), ("webp", _webp()), ("bmp", _bmp()), ("tiff", _tiff())):
        yield from ((kind, name, data) for name, data in made)
    for kind, made in (("svg", _svg()), ("wav", _wav()), ("flac", _flac()), ("vorbis", _ogg()), ("mp3", _mp3()), ("text", _text())):
        yield from ((kind, name, data) for name, data in made)


def large_lies() -> Iterator[Lie]:
    """Whole files within the limits that take much memory to decode, and seconds to make: the worst that a recipe's defaults let in."""
    yield "png", "10,000 x 10,000 pixels of one colour", saved(Image.new("RGBA", (10_000, 10_000), (1, 2, 3, 4)), "PNG")
    yield "webp", "16,000 x 6,000 pixels of one colour", saved(Image.new("RGB", (16_000, 6_000)), "WEBP", lossless=True, method=0)
    yield "gif", "10,000 x 10,000 pixels of one colour", saved(Image.new("P", (10_000, 10_000)), "GIF")
    yield "jpeg", "10,000 x 10,000 pixels of one colour, CMYK", saved(Image.new("CMYK", (10_000, 10_000)), "JPEG", quality=10)
    yield "tiff", "10,000 x 10,000 pixels of 16 bits", saved(Image.new("I;16", (10_000, 10_000)), "TIFF", compression="tiff_deflate")
    yield "flac", "an hour of silence in two channels", silence("FLAC", "PCM_16", 3600 * 48_000, 2)
    yield "vorbis", "an hour of silence in two channels", silence("OGG", "VORBIS", 3600 * 48_000, 2)


def silence(kind: str, subtype: str, frames: int, channels: int) -> bytes:
    """Nothing to hear at 48 kHz, written in pieces: libsndfile dies of large ones in Vorbis."""
    buffer, block = io.BytesIO(), np.zeros((48_000 * 10, channels), np.float32)
    with soundfile.SoundFile(buffer, "w", 48_000, channels, subtype=subtype, format=kind) as file:
        for start in range(0, frames, len(block)):
            file.write(block[: frames - start])
    return buffer.getvalue()


# ---- pictures ---------------------------------------------------------------------------------------------------------


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    """A chunk of a PNG; `size` lies about its length."""
    length = len(body) if size is None else size
    return struct.pack(">I", length) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(*chunks: bytes, width: int = 8, height: int = 8, bits: int = 8, colour: int = 2, interlace: int = 0) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlace))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def _png() -> Iterator[tuple[str, bytes]]:
    rows = chunk(b"IDAT", zlib.compress(bytes(8 * 25)))
    bomb = zlib.compress(bytes(200_000_000))
    yield "60,000 x 60,000 pixels", png(rows, width=60_000, height=60_000)
    yield "the largest sides there are", png(rows, width=HUGE, height=HUGE)
    yield "no width", png(rows, width=0)
    yield "no height", png(rows, height=0)
    yield "three bits", png(rows, bits=3)
    yield "an unknown colour type", png(rows, colour=5)
    yield "an unknown interlacing", png(rows, interlace=7)
    yield "a palette that is not there", png(rows, colour=3)
    yield "no pixels", png()
    yield "a chunk longer than the file", png(chunk(b"IDAT", zlib.compress(bytes(200)), HUGE))
    yield "pixels that unfold to 200 MB", png(chunk(b"IDAT", bomb))
    yield "a text that unfolds to 200 MB", png(chunk(b"zTXt", b"k\0\0" + bomb), rows)
    yield "a colour profile that unfolds to 200 MB", png(chunk(b"iCCP", b"k\0\0" + bomb), rows)
    yield "a text in UTF-8 that unfolds to 200 MB", png(chunk(b"iTXt", b"k\0\1\0\0\0" + bomb), rows)
    yield "a wrong checksum", png(rows[:-1] + bytes([rows[-1] ^ 1]))
    yield "an animation of a billion frames", png(chunk(b"acTL", struct.pack(">II", 10**9, 0)), rows)
    yield "EXIF that points at itself", png(chunk(b"eXIf", _tiff_loop()), rows)


def _jpeg() -> Iterator[tuple[str, bytes]]:
    good = GOOD["jpeg"][2](1)
    frame = good.index(b"\xff\xc0")

    def sized(height: int, width: int) -> bytes:
        return good[: frame + 5] + struct.pack(">HH", height, width) + good[frame + 9 :]

    yield "65,500 x 65,500 pixels", sized(65_500, 65_500)
    yield "9,000 x 9,000 pixels of a small file", sized(9000, 9000)
    yield "no height", sized(0, 40)
    yield "no width", sized(30, 0)
    yield "more rows than there are", sized(3000, 40)
    yield "no components", good[: frame + 9] + b"\0" + good[frame + 10 :]
    yield "seven components", good[: frame + 9] + b"\7" + good[frame + 10 :]
    yield "twelve bits", good[: frame + 4] + b"\x0c" + good[frame + 5 :]
    yield "arithmetic coding", good[: frame + 1] + b"\xc9" + good[frame + 2 :]
    yield "a segment longer than the file", good[:2] + b"\xff\xe1\xff\xff" + good[2:200]
    yield "only markers", b"\xff\xd8" + b"\xff\xe0\x00\x02" * 5000
    yield "EXIF that points at itself", good[:2] + _segment(0xE1, b"Exif\0\0" + _tiff_loop()) + good[2:]
    yield "EXIF whose entry is 2 GB long", good[:2] + _segment(0xE1, b"Exif\0\0" + tiff({700: (2, HUGE, 8)})) + good[2:]
    yield "a colour profile of noise", good[:2] + _segment(0xE2, b"ICC_PROFILE\0\1\1" + bytes(range(256)) * 8) + good[2:]
    yield "part 9 of 3 of a colour profile", good[:2] + _segment(0xE2, b"ICC_PROFILE\0\x09\3" + bytes(64)) + good[2:]


def _segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


def _gif() -> Iterator[tuple[str, bytes]]:
    good = GOOD["gif"][2](1)
    yield "a canvas of 65,535 x 65,535", good[:6] + b"\xff\xff\xff\xff" + good[10:]
    yield "no canvas", good[:6] + bytes(4) + good[10:]
    start = good.index(b",", 13 + 768 if good[10] & 0x80 else 13)
    yield "a frame outside of the canvas", good[: start + 1] + b"\xf0\xff\xf0\xff" + good[start + 5 :]
    yield "a frame of 65,535 x 65,535", good[: start + 5] + b"\xff\xff\xff\xff" + good[start + 9 :]
    yield "codes of 99 bits", good[: start + 10] + b"\x63" + good[start + 11 :]
    yield "comments without end", good[:start] + b"\x21\xfe" + b"\xff" + bytes(255) * 3000


def _webp() -> Iterator[tuple[str, bytes]]:
    good = GOOD["webp"][2](1)
    extended = b"VP8X" + struct.pack("<I", 10) + b"\x10\0\0\0" + b"\xff" * 6
    yield "a canvas of 16 million x 16 million", b"RIFF" + struct.pack("<I", len(good) + 10) + b"WEBP" + extended + good[12:]
    yield (
        "a lossless canvas of 16,384 x 16,384",
        b"RIFF" + struct.pack("<I", 30) + b"WEBPVP8L" + struct.pack("<I", 17) + b"/" + b"\xff" * 16,
    )
    yield "a RIFF of 4 GB", good[:4] + b"\xff\xff\xff\xff" + good[8:]
    yield "a chunk of 4 GB", good[:16] + b"\xff\xff\xff\xff" + good[20:]
    yield "an unknown chunk first", good[:12] + b"NOPE" + good[16:]
    yield "nothing but RIFF", b"RIFF\x04\0\0\0WEBP"


def _bmp() -> Iterator[tuple[str, bytes]]:
    good = GOOD["bmp"][2](1)

    def field(at: int, value: int, form: str = "<i") -> bytes:
        return good[:at] + struct.pack(form, value) + good[at + struct.calcsize(form) :]

    yield "a width of 2 billion", field(18, HUGE)
    yield "a negative width", field(18, -40)
    yield "a height of -2 billion", field(22, -HUGE)
    yield "3 bits a pixel", field(28, 3, "<h")
    yield "an unknown compression", field(30, 99)
    yield "run lengths that are none", field(30, 1)
    yield "pixels behind the end", field(10, HUGE)
    yield "a palette of 2 billion colours", field(46, HUGE)
    yield "a header of 4 GB", field(14, -1)
    yield "JPEG inside", field(30, 4)


def tiff(entries: dict[int, tuple[int, int, int]], following: int = 0) -> bytes:
    """A little-endian TIFF of one directory: tag → type, count, value or offset."""
    body = struct.pack("<H", len(entries))
    for name, (kind, count, value) in sorted(entries.items()):
        body += struct.pack("<HHII", name, kind, count, value)
    return b"II*\0" + struct.pack("<I", 8) + body + struct.pack("<I", following)


def _tiff_loop() -> bytes:
    return tiff({0x8769: (4, 1, 8), 0x112: (3, 1, 6)}, following=8)


def _tiff() -> Iterator[tuple[str, bytes]]:
    plain = {
        256: (3, 1, 8),
        257: (3, 1, 8),
        258: (3, 1, 8),
        259: (3, 1, 1),
        262: (3, 1, 1),
        273: (4, 1, 8),
        278: (3, 1, 8),
        279: (4, 1, 64),
    }

    def changed(**entries: tuple[int, int, int]) -> bytes:
        return tiff({**plain, **{int(name[1:]): value for name, value in entries.items()}}) + bytes(100)

    yield "a directory that points at itself", _tiff_loop()
    yield "4 billion x 4 billion pixels", changed(t256=(4, 1, 0xFFFFFFFF), t257=(4, 1, 0xFFFFFFFF))
    yield "no width", changed(t256=(3, 1, 0))
    yield "a directory behind the end", b"II*\0" + struct.pack("<I", HUGE)
    yield "an entry of 4 billion numbers", changed(t273=(4, 0xFFFFFFFF, 8))
    yield "a strip of 4 GB", changed(t279=(4, 1, 0xFFFFFFFF))
    yield "a strip behind the end", changed(t273=(4, 1, HUGE))
    yield "no rows in a strip", changed(t278=(3, 1, 0))
    yield "500 samples a pixel", changed(t277=(3, 1, 500))
    yield "1,000 bits a sample", changed(t258=(3, 1, 1000))
    yield "tiles of 2 billion pixels", changed(t322=(4, 1, HUGE), t323=(4, 1, HUGE), t324=(4, 1, 8), t325=(4, 1, 64))
    yield "tiles of nothing", changed(t322=(4, 1, 0), t323=(4, 1, 0), t324=(4, 1, 8), t325=(4, 1, 64))
    for name, number in (("LZW", 5), ("old JPEG", 6), ("JPEG", 7), ("deflate", 8), ("fax", 4), ("pack bits", 32_773), ("zstd", 50_000)):
        yield f"{name} that is none", changed(t259=(3, 1, number))
    yield "an unknown compression", changed(t259=(3, 1, 12_345))
    yield "a fraction by nothing", changed(t282=(5, 1, 200), t283=(5, 1, 200))
    yield "an orientation of a text", changed(t274=(2, 4, 0x41414141))
    yield "an entry of an unknown type", changed(t274=(99, 1, 1))


def _svg() -> Iterator[tuple[str, bytes]]:
    laughs = b"".join(b'<!ENTITY l%d "%s">' % (level, b"&l%d;" % (level - 1) * 10) for level in range(1, 10))
    yield "a billion laughs", b'<!DOCTYPE svg [<!ENTITY l0 "ha">' + laughs + b"]>" + drawings.svg("&l9;")
    yield "a file of the system", b'<!DOCTYPE svg [<!ENTITY x SYSTEM "file:///etc/passwd">]>' + drawings.svg("&x;")
    yield "a script", drawings.svg("<script>alert(1)</script>")
    yield "a picture from elsewhere", drawings.svg('<image href="http://127.0.0.1:9/p.png" width="9" height="9"/>')
    yield "a picture from the disk", drawings.svg('<image href="/etc/passwd" width="9" height="9"/>')
    yield "a style from elsewhere", drawings.svg("<style>@import url(http://127.0.0.1:9/x.css);</style>")
    yield "HTML inside", drawings.svg("<foreignObject><p>x</p></foreignObject>")
    groups = "".join(f'<g id="g{level}">' + f'<use href="#g{level - 1}"/>' * 10 + "</g>" for level in range(1, 10))
    yield "a billion shapes", drawings.svg(f'<defs><g id="g0">{drawings.rect()}</g>{groups}</defs><use href="#g9"/>')
    yield "a shape that uses itself", drawings.svg('<g id="a"><use href="#a"/></g>')
    yield "a million elements inside one another", drawings.svg("<g>" * 1_000_000)
    yield "a million elements beside one another", drawings.svg("<g/>" * 1_000_000)
    yield "sides without end", drawings.svg(drawings.rect(), 'width="1e308" height="1e-308"')
    yield "sides that are no numbers", drawings.svg(drawings.rect(), 'width="nan" height="inf"')
    bomb = base64.b64encode(png(chunk(b"IDAT", zlib.compress(bytes(100_000))), width=50_000, height=50_000)).decode()
    yield "a bomb inside", drawings.svg(f'<image href="data:image/png;base64,{bomb}" width="80" height="60"/>')
    yield "an SVG inside", drawings.svg(f'<image href="data:image/svg+xml;base64,{base64.b64encode(drawings.svg()).decode()}"/>')
    yield (
        "blurs without end",
        drawings.svg("<filter id='f'>" + "<feGaussianBlur stdDeviation='999'/>" * 2000 + "</filter>" + drawings.rect('filter="url(#f)"')),
    )
    yield "UTF-16 without a mark", drawings.svg().decode().encode("utf-16-le")
    yield "an encoding that is none", b'<?xml version="1.0" encoding="klingon"?>' + drawings.svg()
    yield "compressed", zlib.compress(drawings.svg(drawings.rect()))


# ---- sound and text ---------------------------------------------------------------------------------------------------


def _wav() -> Iterator[tuple[str, bytes]]:
    for name, fields in {
        "4 GB of samples": {"data": 0xFFFFFFFF},
        "a RIFF of 4 GB": {"riff": 0xFFFFFFFF},
        "no channels": {"channels": 0, "block": 0, "byte_rate": 0},
        "65,535 channels": {"channels": 65_535, "block": 65_534, "byte_rate": 0},
        "no rate": {"rate": 0, "byte_rate": 0},
        "a rate of 4 GHz": {"rate": 0xFFFFFFFF},
        "17 bits": {"bits": 17},
        "an unknown kind": {"kind": 0x55},
        "blocks of nothing": {"block": 0},
        "one byte less than a step": {"data": 199},
        "no samples": {"data": 0},
    }.items():
        yield name, sounds.header(**fields)
    yield "samples before their description", b"RIFF\xff\0\0\0WAVEdata\x08\0\0\0" + bytes(8)
    yield "a million empty chunks", b"RIFF" + struct.pack("<I", 8_000_004) + b"WAVE" + (b"LIST" + bytes(4)) * 1_000_000
    floats = np.array([np.nan, np.inf, -np.inf, 1e30] * 50, "<f4").tobytes()
    yield "samples that are no numbers", sounds.header(floats, kind=3, bits=32, block=4, byte_rate=64_000)


def _flac() -> Iterator[tuple[str, bytes]]:
    good = bytearray(GOOD["flac"][2](1))
    packed = int.from_bytes(good[18:26], "big")

    def info(rate: int | None = None, frames: int | None = None, channels: int | None = None) -> bytes:
        value = packed
        if frames is not None:
            value = value >> 36 << 36 | frames
        if rate is not None:
            value = value & (1 << 44) - 1 | rate << 44
        if channels is not None:
            value = value & ~(7 << 41) | (channels - 1) << 41
        return bytes(good[:18]) + value.to_bytes(8, "big") + bytes(good[26:])

    yield "no length", info(frames=0)
    yield "one sample more", info(frames=2001)
    yield "one sample less", info(frames=1999)
    yield "480 million samples", info(frames=480_000_000, rate=384_000)
    yield "68 billion samples", info(frames=(1 << 36) - 1)
    yield "no rate", info(rate=0)
    yield "a rate of 1 MHz", info(rate=(1 << 20) - 1)
    yield "eight channels", info(channels=8)
    yield "another checksum", bytes(good[:26]) + bytes(range(1, 17)) + bytes(good[42:])
    yield "a block of 16 MB that is not there", bytes(good[:5]) + b"\xff\xff\xff" + bytes(good[8:])
    yield "only a header", bytes(good[:42])


def ogg_page(body: bytes, granule: int, sequence: int, flags: int = 0, serial: int = 7) -> bytes:
    """A page with a right checksum; bodies up to 255 bytes."""
    page = bytearray(b"OggS\0" + struct.pack("<BqIIIBB", flags, granule, serial, sequence, 0, 1, len(body)) + body)
    page[22:26] = struct.pack("<I", _checksum(bytes(page)))
    return bytes(page)


def _ogg() -> Iterator[tuple[str, bytes]]:
    good = GOOD["vorbis"][2](1)

    def last(granule: int) -> bytes:
        start = good.rindex(b"OggS")
        page = bytearray(good[start:])
        page[6:14], page[22:26] = struct.pack("<q", granule), bytes(4)
        page[22:26] = struct.pack("<I", _checksum(bytes(page)))
        return good[:start] + bytes(page)

    yield "4 billion billion samples", last(1 << 62)
    yield "400 million samples", last(400_000_000)
    yield "less than no samples", last(-5)
    yield "half of its samples", last(900)
    yield "two recordings", good + GOOD["vorbis"][2](2)
    yield "a head and nothing else", ogg_page(b"\x01vorbis" + struct.pack("<IBIiiiBB", 0, 1, 8000, 0, 0, 0, 0xB8, 1), 0, 0, 6)
    yield "255 channels", ogg_page(b"OpusHead" + struct.pack("<BBHIHB", 1, 255, 0, 48_000, 0, 255) + bytes(200), 0, 0, 2)
    yield "a rate of 4 GHz", ogg_page(b"\x01vorbis" + struct.pack("<IBIiiiBB", 0, 1, 0xFFFFFFFF, 0, 0, 0, 0xB8, 1), 0, 0, 2)
    yield "Theora", ogg_page(b"\x80theora" + bytes(40), 0, 0, 2)
    yield "pages without end", b"".join(ogg_page(b"", 0, number, 2 if number == 0 else 0) for number in range(20_000))


def _mp3() -> Iterator[tuple[str, bytes]]:
    good = GOOD["mp3"][2](1)
    at = good.index(b"Info") if b"Info" in good else good.index(b"Xing")
    yield "4 billion frames", good[: at + 8] + b"\xff\xff\xff\xff" + good[at + 12 :]
    yield "no frames", good[: at + 8] + bytes(4) + good[at + 12 :]
    yield "a tag longer than the file", b"ID3\4\0\0\x7f\x7f\x7f\x7f" + good
    yield "a tag whose size is none", b"ID3\4\0\0\xff\xff\xff\xff" + good
    yield "a tag and nothing else", b"ID3\4\0\0\0\0\0\x0a" + bytes(10)
    yield "two files behind one another", good + GOOD["mp3"][2](2)
    yield "frames without sound", (good[:1] + b"\xfb\x90\x64" + bytes(413)) * 50
    yield "a free bit rate", b"\xff\xfb\x00\x64" + bytes(4000)


def _text() -> Iterator[tuple[str, bytes]]:
    yield "UTF-16 with a mark", "grüße".encode("utf-16")
    yield "UTF-16 without a mark", "grüße aus dem".encode("utf-16-be")
    yield "UTF-32", "grüße".encode("utf-32")
    yield "Latin-1", "grüße".encode("latin-1")
    yield "two encodings", "grüße ".encode() + "grüße".encode("latin-1")
    yield "Latin-1 in the middle of much UTF-8", "日本語".encode() * 2000 + b"\xe9" + "日本語".encode() * 2000
    yield "lone halves of pairs", "a\ud800b".encode("utf-8", "surrogatepass")
    yield "overlong slashes", b"..\xc0\xaf..\xc0\xafetc"
    yield "beyond Unicode", b"\xf7\xbf\xbf\xbf"
    yield "only zeros", bytes(1000)
    yield "only control characters", bytes(range(32)) * 30
    yield "only white space", " \u3000\u2003\n".encode() * 100
    yield "2 MB of letters", b"a" * 2_000_000
    yield "a letter under 100,000 accents", b"e" + "\u0301".encode() * 100_000
    yield "900 kB of damaged marks", "â€™Ã©&amp;".encode() * 60_000
    yield "900 kB of HTML entities", b"&lt;" * 225_000
    yield "letters that unfold to eighteen", "\ufdfa".encode() * 300_000
    yield "directions turned back and forth", "\u202ea\u202d".encode() * 50_000
    yield "escapes of a terminal", b"\x1b[31m\x1b]0;title\x07" * 1000
