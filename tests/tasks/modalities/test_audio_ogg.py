"""`tasks.modalities.audio_ogg`, and Ogg through `tasks.modalities.audio`."""

from __future__ import annotations

import functools
import struct
from typing import Any

import numpy as np
import pytest

from tasks.errors import BadMember, RecordError
from tasks.modalities.audio import Audio
from tasks.modalities.audio_header import read_header
from tasks.modalities.audio_ogg import _checksum
from tasks.modalities.audio_samples import mono
from tasks.modalities.config import AudioPrepare
from tests.tasks.modalities.sounds import saved, tone

KINDS = pytest.mark.parametrize("kind", ["VORBIS", "OPUS"])
AUDIO = Audio()


@functools.cache
def ogg(kind: str, num_samples: int = 40_000, channels: int = 1, rate_hz: int = 16_000) -> bytes:
    sound = tone(num_samples, rate_hz)
    return saved(np.stack([sound] * channels, axis=1), "OGG", kind, rate_hz)


def pages(data: bytes) -> list[bytes]:
    found = []
    while data:
        size = 27 + data[26] + sum(data[27 : 27 + data[26]])
        found.append(data[:size])
        data = data[size:]
    return found


def changed(page: bytes, offset: int, layout: str, value: int) -> bytes:
    """A field of a page set to another value, with the right checksum."""
    page = page[:offset] + struct.pack(layout, value) + page[offset + struct.calcsize(layout) :]
    return page[:22] + struct.pack("<I", _checksum(page)) + page[26:]


def refusal(data: bytes, **options: Any) -> RecordError:
    with pytest.raises(RecordError) as caught:
        AUDIO.encode(data, AudioPrepare(**options))
    return caught.value


# ---- read -------------------------------------------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("channels", [1, 2])
def test_a_lossy_sound_is_stored_as_the_flac_of_what_was_encoded(kind: str, channels: int) -> None:
    encoded = AUDIO.encode(ogg(kind, channels=channels), AudioPrepare())
    header = read_header(encoded.data)
    assert (encoded.extension, header.rate_hz, header.channels, header.bits, header.frames) == ("flac", 16_000, 1, 16, 40_000)
    found = mono(encoded.data, header).astype(int)
    assert np.abs(found - tone(40_000))[2000:-2000].mean() < 400, "of 13000, the level of the tone"


@KINDS
def test_it_never_stays_as_it_is_and_can_be_stored_as_wav_at_another_rate(kind: str) -> None:
    encoded = AUDIO.encode(ogg(kind), AudioPrepare(format="wav", rate_hz=8000))
    header = read_header(encoded.data)
    assert (encoded.extension, header.rate_hz, header.frames) == ("wav", 8000, 20_000)


def test_decoding_in_blocks_gives_the_samples_of_decoding_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    data = ogg("VORBIS", channels=2)
    whole = AUDIO.encode(data, AudioPrepare()).data
    monkeypatch.setattr("tasks.modalities.audio_samples.BLOCK", 999)
    assert AUDIO.encode(data, AudioPrepare()).data == whole


def test_the_length_of_opus_leaves_out_what_its_encoder_put_in_front() -> None:
    assert read_header(ogg("OPUS", 12_345, rate_hz=48_000)).frames == 12_345


def test_opus_at_a_rate_of_its_own_is_read_at_48_khz() -> None:
    first, *rest = pages(ogg("OPUS", rate_hz=48_000))
    data = changed(first, 28 + 12, "<I", 44_100) + b"".join(rest)
    assert read_header(AUDIO.encode(data, AudioPrepare()).data).rate_hz == 48_000


# ---- refused ----------------------------------------------------------------------------------------------------------


@KINDS
def test_a_file_cut_at_any_page_or_inside_of_one_is_refused_as_truncated(kind: str) -> None:
    data = ogg(kind)
    position = 0
    for page in pages(data)[:-1]:
        position += len(page)
        for end in (position - len(page) // 2, position, position + 3, position + 20, position + 27):
            assert refusal(data[:end]).reason == "audio/truncated", end


@KINDS
def test_a_flipped_bit_is_noticed_wherever_it_is(kind: str) -> None:
    data = ogg(kind, 8000)
    for position in range(0, len(data), 97):
        damaged = bytearray(data)
        damaged[position] ^= 0x10
        assert refusal(bytes(damaged)).reason in {"audio/corrupt", "audio/truncated", "audio/format"}


def test_missing_doubled_and_foreign_pages_are_refused() -> None:
    first, *middle, last = pages(ogg("VORBIS", 400_000))
    for mixed in ([first, *middle[:-1], last], [first, *middle, middle[-1], last]):
        assert refusal(b"".join(mixed)).reason == "audio/corrupt"
    assert (
        "page 3 of the Ogg follows page 1; pages are missing or doubled"
        in refusal(b"".join([first, *middle[:1], *middle[2:], last])).detail
    )
    stranger = changed(last, 14, "<I", 7)
    assert "belongs to stream 0x7, which never began" in refusal(b"".join([first, *middle, stranger])).detail


def test_several_recordings_in_one_file_are_refused_since_only_the_first_would_be_read() -> None:
    one, other = ogg("VORBIS"), ogg("OPUS")
    error = refusal(one + other)
    assert error.reason == "audio/format"
    assert "split the file into its recordings" in error.detail
    first, *rest = pages(one)
    assert refusal(b"".join([first, pages(other)[0], *rest])).reason == "audio/format", "side by side"


@pytest.mark.parametrize(
    ("granule", "reason", "detail"),
    [
        (1 << 60, "audio/too_large", "`limit_seconds`"),
        (500_000, "audio/truncated", "of 500000 samples could be decoded"),
        (3, "audio/header", "ends at sample 3, the page before it at"),
    ],
)
def test_a_last_page_that_lies_about_the_length_is_refused(granule: int, reason: str, detail: str) -> None:
    *others, last = pages(ogg("VORBIS", 400_000))
    error = refusal(b"".join([*others, changed(last, 6, "<q", granule)]))
    assert error.reason == reason
    assert detail in error.detail


def test_what_is_over_a_limit_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.modalities.audio.mono", lambda *_: pytest.fail("it was decoded"))
    data = ogg("VORBIS", channels=2)
    for options in ({"limit_seconds": 2.4}, {"limit_samples": 79_999}, {"limit_rate_hz": 8000}, {"limit_bytes": 100}):
        error = refusal(data, **options)
        assert isinstance(error, BadMember)
        assert error.reason == "audio/too_large"


def test_the_first_packet_must_be_of_a_codec_that_is_read_and_make_sense() -> None:
    first, *rest = pages(ogg("VORBIS"))
    for offset, layout, value, detail in (
        (28, "<B", 0x7F, "Vorbis and Opus are read"),
        (28 + 11, "<B", 0, "0 channels at 16000 Hz"),
        (28 + 12, "<I", 0, "1 channels at 0 Hz"),
    ):
        assert detail in refusal(changed(first, offset, layout, value) + b"".join(rest)).detail
    flac = changed(first, 28, "<5s", b"\x7fFLAC")  # type: ignore[arg-type]
    assert refusal(flac + b"".join(rest)).detail == "the Ogg holds FLAC; Vorbis and Opus are read"


def test_a_stream_without_a_sample_is_empty() -> None:
    assert refusal(ogg("VORBIS", 0)).reason == "audio/empty"
