"""What a sound's header says, and whether it can be true, before a sample is decoded.

In: bytes of unknown worth. Out: format, rate, channels, bits and length; or BadMember. Decoders believe headers: a WAV that promises more
sound than the file holds, or a rate that contradicts its own byte rate, would become silently wrong data.
WAV: RIFF with PCM, float or extensible `fmt `. FLAC: STREAMINFO of RFC 9639. The others have files of their own.
"""

from __future__ import annotations

import struct

from tasks.errors import BadMember
from tasks.modalities.audio_form import Header, lie
from tasks.modalities.audio_mp3 import read_mp3, starts_mp3
from tasks.modalities.audio_ogg import read_ogg

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
BITS = {PCM: (8, 16, 24, 32), FLOAT: (32, 64)}
MAX_CHANNELS = 64


def read_header(data: bytes) -> Header:
    """By content, whatever the name. BadMember `audio/empty|format|header`, and of Ogg and MP3 `audio/truncated|corrupt|too_large`."""
    if not data:
        raise BadMember("audio/empty", "the file has no bytes")
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        header = _wav(data)
    elif data[:4] == b"fLaC":
        header = _flac(data)
    elif data[:4] == b"OggS":
        header = read_ogg(data)
    elif starts_mp3(data):
        header = read_mp3(data)
    else:
        raise BadMember("audio/format", f"begins with {data[:12].hex(' ')}, which is neither WAV, FLAC, Ogg nor MP3")
    if not 1 <= header.channels <= MAX_CHANNELS or header.rate_hz < 1:
        raise lie(f"{header.channels} channels at {header.rate_hz} Hz")
    return header


def _wav(data: bytes) -> Header:
    (riff_size,) = struct.unpack_from("<I", data, 4)
    if riff_size > len(data):  # not -8: some writers count the eight bytes before it as well
        raise lie(f"the header promises {riff_size + 8} bytes, the file has {len(data)}")
    layout: tuple[int, int, int, int, int, int] | None = None
    position = 12
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        body = position + 8
        if name == b"fmt ":
            layout = _layout(data[body : body + size], size)
        elif name == b"data":
            if layout is None:
                raise lie("the samples come before their description (`data` before `fmt `)")
            return _samples(layout, body, size, len(data))
        position = body + size + size % 2
    raise lie("there is no `data` chunk") if layout else lie("there is no `fmt ` chunk")


def _layout(chunk: bytes, size: int) -> tuple[int, int, int, int, int, int]:
    """kind, channels, rate, byte rate, block, bits; each checked against the others."""
    if size < 16 or len(chunk) < 16:
        raise lie(f"the `fmt ` chunk has {min(size, len(chunk))} bytes, at least 16 are needed")
    kind, channels, rate, byte_rate, block, bits = struct.unpack_from("<HHIIHH", chunk)
    if kind == EXTENSIBLE and len(chunk) >= 26:
        (kind,) = struct.unpack_from("<H", chunk, 24)
    if kind not in BITS or bits not in BITS[kind]:
        detail = f"samples of kind {kind} with {bits} bits are not read; save it as PCM (8, 16, 24, 32 bits) or float (32, 64 bits)"
        raise BadMember("audio/format", detail)
    if channels == 0 or rate == 0:
        raise lie(f"{channels} channels at {rate} Hz")
    if block != channels * bits // 8:
        raise lie(f"{channels} channels of {bits} bits are {channels * bits // 8} bytes a step, the header says {block}")
    if byte_rate != rate * block:
        raise lie(f"{rate} Hz with {block} bytes a step are {rate * block} bytes a second, the header says {byte_rate}")
    return kind, channels, rate, byte_rate, block, bits


def _samples(layout: tuple[int, int, int, int, int, int], start: int, size: int, file_size: int) -> Header:
    kind, channels, rate, _, block, bits = layout
    if size > file_size - start:
        raise lie(f"the header promises {size} bytes of sound, the file holds {file_size - start}")
    if size == 0:
        if file_size > start:
            raise lie(f"the header says there is no sound, but {file_size - start} bytes follow; the recording was not finished")
        raise BadMember("audio/empty", "the WAV has a header and no samples")
    if size % block:
        raise lie(f"{size} bytes of sound are no whole number of steps of {block} bytes")
    return Header("wav", rate, channels, bits, size // block, kind == FLOAT, start)


def _flac(data: bytes) -> Header:
    if len(data) < 42 or data[4] & 0x7F != 0 or int.from_bytes(data[5:8], "big") != 34:
        raise lie("the FLAC has no whole STREAMINFO block")
    packed = int.from_bytes(data[18:26], "big")
    rate, channels, bits = packed >> 44, (packed >> 41 & 7) + 1, (packed >> 36 & 31) + 1
    frames, md5 = packed & (1 << 36) - 1, data[26:42]
    if rate == 0:
        raise lie(f"{channels} channels at 0 Hz")
    return Header("flac", rate, channels, bits, frames, md5=md5 if any(md5) else b"")
