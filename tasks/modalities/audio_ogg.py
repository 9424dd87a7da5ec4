"""The pages of an Ogg file (RFC 3533) with Vorbis or Opus (RFC 7845), before a sample is decoded.

In: bytes that begin with `OggS`. Out: a `Header`, or BadMember. libsndfile skips pages whose checksum is wrong and reads no further
than the first link of a chain, both without a word, so every page is looked at here; at 4 kB a page that is a small part of decoding.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from tasks.errors import BadMember
from tasks.modalities.audio_form import Header, cut, lie

FIRST, LAST = 2, 4
"""Flags of a page: of its stream the first, the last."""
HEAD = 27
"""Bytes of a page before its table of segments."""
OPUS_RATE_HZ = 48_000
OPUS_RATES_HZ = (8000, 12_000, 16_000, 24_000, 48_000)
OTHERS = {b"\x7fFLAC": "FLAC", b"Speex   ": "Speex", b"\x80theora": "Theora video", b"fishead\x00": "Skeleton"}

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class Page:
    """One page whose checksum is right."""

    flags: int
    granule: int
    """Samples up to the last packet that ends here; -1 = none does."""
    serial: int
    """Number of the stream."""
    sequence: int
    body: bytes


def read_ogg(data: bytes) -> Header:
    """BadMember `audio/format`, `audio/header`, `audio/truncated`, `audio/corrupt` or `audio/empty`."""
    pages = _pages(data)
    first = next(pages)
    codec, rate_hz, channels, skipped = _identify(first.body)
    granule, previous = 0, first
    for number, page in enumerate(pages, 2):
        _check_order(number, page, previous, first)
        if page.granule >= 0:
            if page.granule < granule:
                raise lie(f"page {number} ends at sample {page.granule}, the page before it at {granule}")
            granule = page.granule
        previous = page
    if not previous.flags & LAST:
        raise cut("the last page of the Ogg is not marked as the last")
    frames = granule if codec == "Vorbis" else (granule - skipped) * rate_hz // OPUS_RATE_HZ
    if frames <= 0:
        raise BadMember("audio/empty", f"the {codec} stream has no samples")
    return Header("ogg", rate_hz, channels, 0, frames, floating=True)


def _pages(data: bytes) -> Iterator[Page]:
    position, number = 0, 1
    while position < len(data):
        if data[position : position + 4] != b"OggS"[: len(data) - position]:
            raise BadMember("audio/corrupt", f"at offset {position}, where page {number} of the Ogg should begin, there is something else")
        if position + HEAD > len(data):
            raise cut(f"page {number} of the Ogg ends after {len(data) - position} bytes")
        flags, granule, serial, sequence, checksum, segments = struct.unpack_from("<BqIIIB", data, position + 5)
        table = data[position + HEAD : position + HEAD + segments]
        start = position + HEAD + segments
        end = start + sum(table)
        if len(table) < segments or end > len(data):
            raise cut(f"page {number} of the Ogg goes on for {end - len(data)} bytes after the end")
        page = data[position:end]
        if _checksum(page) != checksum:
            raise BadMember("audio/corrupt", f"the checksum of page {number} of the Ogg, at offset {position}, is wrong")
        yield Page(flags, granule, serial, sequence, data[start:end])
        position, number = end, number + 1


def _checksum(page: bytes) -> int:
    """CRC of RFC 3533 over a page whose checksum counts as zero: zlib's with the bits of every byte, and of the result, in reverse."""
    blank = (page[:22] + bytes(4) + page[26:]).translate(_REVERSED)
    reflected = zlib.crc32(blank, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int.from_bytes(reflected.to_bytes(4, "little").translate(_REVERSED), "big")


def _identify(packet: bytes) -> tuple[str, int, int, int]:
    """Codec, rate, channels and samples at 48 kHz to leave out at the start, by the first packet."""
    if packet[:7] == b"\x01vorbis" and len(packet) >= 30:
        version, channels, rate_hz = struct.unpack_from("<IBI", packet, 7)
        if version or not channels or not rate_hz:
            raise lie(f"Vorbis version {version}, {channels} channels at {rate_hz} Hz")
        return "Vorbis", rate_hz, channels, 0
    if packet[:8] == b"OpusHead" and len(packet) >= 19:
        version, channels, skipped, rate_hz = struct.unpack_from("<BBHI", packet, 8)
        if version > 15 or not channels:
            raise lie(f"Opus version {version}, {channels} channels")
        return "Opus", rate_hz if rate_hz in OPUS_RATES_HZ else OPUS_RATE_HZ, channels, skipped
    name = next((name for magic, name in OTHERS.items() if packet.startswith(magic)), f"a stream that begins with {packet[:8].hex(' ')}")
    raise BadMember("audio/format", f"the Ogg holds {name}; Vorbis and Opus are read")


def _check_order(number: int, page: Page, previous: Page, first: Page) -> None:
    if page.flags & FIRST or previous.flags & LAST:
        detail = f"page {number} begins another recording, and only the first of them would be read; split the file into its recordings"
        raise BadMember("audio/format", f"the Ogg holds several streams: {detail}")
    if page.serial != first.serial:
        raise BadMember("audio/corrupt", f"page {number} of the Ogg belongs to stream {page.serial:#x}, which never began")
    if page.sequence != previous.sequence + 1:
        detail = f"page {page.sequence} of the Ogg follows page {previous.sequence}; pages are missing or doubled"
        raise BadMember("audio/corrupt", detail)
