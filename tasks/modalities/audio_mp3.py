"""The frames of an MP3 (ISO 11172-3 and 13818-3, layer III), counted before a sample is decoded.

In: bytes that begin with an ID3 tag or a frame. Out: a `Header`, or BadMember; and the bytes for the decoder. An MP3 has no length of its
own. libsndfile believes the count in a `Xing` frame, and without one guesses from the first bit rate and decodes no further: a sixth of
a file, in one case. So frames are counted here, a count that differs is refused, and a missing one is put in front.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.errors import BadMember
from tasks.modalities.audio_form import Header, cut, lie

RATES_HZ = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8000)}
"""MPEG version as two bits (1, 2, 2.5) → rates."""
KBITS = {
    3: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
TAGS = (b"TAG", b"APETAGEX", b"LYRICSBEGIN", b"ID3", b"3DI")
"""What may follow the last frame."""
MAX_FRAMES = 2_000_000
"""13 hours at 48 kHz: where counting stops, after about a second."""
DECODER_DELAY = 529
"""Samples that the decoder leaves out at the start when nothing is said about delays."""
SLACK = 2 * 1152
"""Samples that delays may be off by."""


@dataclass(frozen=True)
class Layout:
    """What the four bytes before a frame say."""

    version: int
    rate_hz: int
    channels: int
    num_bytes: int
    """Of the frame, these four included."""

    @property
    def samples(self) -> int:
        """Per channel."""
        return 1152 if self.version == 3 else 576

    @property
    def tag_at(self) -> int:
        """Where a `Xing` tag stands in the frame: after the side information of layer III."""
        if self.version == 3:
            return 4 + (17 if self.channels == 1 else 32)
        return 4 + (9 if self.channels == 1 else 17)


@dataclass(frozen=True)
class Tag:
    """What a first frame without sound says."""

    frames: int | None
    """That follow it; None = it does not say."""
    usable: bool
    """The decoder goes by it."""
    trimmed: int = 0
    """Samples that the encoder added and the decoder leaves out."""


def starts_mp3(data: bytes) -> bool:
    """An ID3 tag or a frame header of layer III comes first."""
    return data[:3] == b"ID3" or _layout(data[:4]) is not None


def read_mp3(data: bytes) -> Header:
    """BadMember `audio/format`, `audio/header`, `audio/truncated`, `audio/corrupt` or `audio/empty`."""
    start = _after_id3(data)
    frames = _frames(data, start)
    first = next(frames, None)
    if first is None:
        raise BadMember("audio/format", f"after its ID3 tag of {start} bytes there is no frame of an MP3 (layer III)")
    start, layout = first
    tag = _tag(data[start : start + layout.num_bytes], layout)
    counted = sum(1 for _ in frames) + (tag is None)
    if tag is not None:
        _check_count(tag.frames, counted)
    if tag is not None and not tag.usable:
        start += layout.num_bytes
    samples = counted * layout.samples - (tag.trimmed if tag is not None and tag.usable else DECODER_DELAY)
    if samples <= 0:
        raise BadMember("audio/empty", "the MP3 has no samples")
    return Header("mp3", layout.rate_hz, layout.channels, 0, samples, floating=True, start=start, slack=SLACK)


def with_count(data: bytes, header: Header) -> bytes:
    """From the first frame on, beginning with a frame that says how many follow."""
    layout = _layout(data[header.start : header.start + 4])
    assert layout is not None, "read_mp3 saw a frame here"
    tag = _tag(data[header.start : header.start + layout.num_bytes], layout)
    if tag is not None and tag.usable:
        return data[header.start :]
    head = bytearray(data[header.start : header.start + 4])
    head[1] |= 1  # no checksum behind these four bytes
    head[2] = head[2] & 0x0D | 0x90  # 128 or 80 kbit/s, which has room for the tag at every rate; no padding
    own = _layout(bytes(head))
    assert own is not None, "nothing but the bit rate has changed"
    frame = bytearray(own.num_bytes)
    frame[:4] = head
    count = (header.frames + DECODER_DELAY) // own.samples
    frame[own.tag_at : own.tag_at + 12] = b"Xing" + (1).to_bytes(4, "big") + count.to_bytes(4, "big")
    return bytes(frame) + data[header.start :]


def _frames(data: bytes, position: int) -> Iterator[tuple[int, Layout]]:
    """Offset and layout of each frame; the last must be whole, and be followed by nothing but tags."""
    first: Layout | None = None
    number = 0
    while position < len(data):
        layout = _layout(data[position : position + 4])
        if layout is None:
            rest = data[position : position + 16]
            if first is None or rest.startswith(TAGS) or not data[position:].strip(b"\0"):
                return
            if len(rest) < 4 and rest[:1] == b"\xff":
                raise cut(f"frame {number + 1} ends after {len(rest)} bytes")
            raise BadMember(
                "audio/corrupt", f"at offset {position}, where frame {number + 1} of the MP3 should begin, there is something else"
            )
        number += 1
        if first is None:
            first = layout
        if (layout.rate_hz, layout.channels) != (first.rate_hz, first.channels):
            now = f"{layout.channels} channels at {layout.rate_hz} Hz"
            raise lie(f"frame {number} has {now}, the first one {first.channels} at {first.rate_hz} Hz")
        if position + layout.num_bytes > len(data):
            raise cut(f"frame {number} goes on for {position + layout.num_bytes - len(data)} bytes after the end")
        if number > MAX_FRAMES:
            raise BadMember("audio/too_large", f"more than {MAX_FRAMES} frames; split the MP3")
        yield position, layout
        position += layout.num_bytes


@functools.lru_cache(maxsize=1024)
def _layout(head: bytes) -> Layout | None:
    """None when these four bytes begin no frame of layer III with a rate and a bit rate of its tables."""
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    kbits, rate, padding = head[2] >> 4, head[2] >> 2 & 3, head[2] >> 1 & 1
    if version == 1 or layer != 1 or rate == 3 or kbits in {0, 15}:
        return None
    rate_hz = RATES_HZ[version][rate]
    kbit = KBITS[3 if version == 3 else 2][kbits]
    num_bytes = (144_000 if version == 3 else 72_000) * kbit // rate_hz + padding
    return Layout(version, rate_hz, 1 if head[3] >> 6 == 3 else 2, num_bytes)


def _after_id3(data: bytes) -> int:
    """Where the tags before the first frame end."""
    position = 0
    while data[position : position + 3] == b"ID3" and len(data) >= position + 10:
        sizes = data[position + 6 : position + 10]
        if any(size > 127 for size in sizes):
            raise lie(f"the size of its ID3 tag is {sizes.hex(' ')}")
        footer = 10 if data[position + 5] & 0x10 else 0
        position += 10 + footer + sum(size << shift for size, shift in zip(sizes, (21, 14, 7, 0), strict=True))
    if position >= len(data):
        raise cut(f"its ID3 tag is {position} bytes long, the file {len(data)}")
    return position


def _tag(frame: bytes, layout: Layout) -> Tag | None:
    """What a frame that holds no sound says about those that follow: `Xing` or `Info` with LAME's delays, or `VBRI`."""
    at = layout.tag_at
    if frame[36:40] == b"VBRI":
        return Tag(int.from_bytes(frame[50:54], "big"), usable=False)
    if frame[at : at + 4] not in {b"Xing", b"Info"}:
        return None
    flags = int.from_bytes(frame[at + 4 : at + 8], "big")
    if not flags & 1:
        return Tag(None, usable=False)
    lame = at + 12 + 4 * bool(flags & 2) + 100 * bool(flags & 4) + 4 * bool(flags & 8)
    delays = int.from_bytes(frame[lame + 21 : lame + 24], "big") if frame[lame : lame + 1].strip(b"\0") else 0
    return Tag(int.from_bytes(frame[at + 8 : at + 12], "big"), True, (delays >> 12) + (delays & 0xFFF) if delays else DECODER_DELAY)


def _check_count(promised: int | None, counted: int) -> None:
    if promised is None or promised == counted:
        return
    detail = f"its first frame promises {promised} frames, the file holds {counted}"
    if promised > counted:
        raise cut(detail)
    raise lie(f"{detail}, as when MP3s are put behind one another")
