"""`tasks.modalities.audio_mp3`, and MP3 through `tasks.modalities.audio`."""

from __future__ import annotations

import functools
import io
from typing import Any

import numpy as np
import pytest
import soundfile

from tasks.errors import RecordError
from tasks.modalities.audio import Audio
from tasks.modalities.audio_header import read_header
from tasks.modalities.audio_mp3 import DECODER_DELAY
from tasks.modalities.audio_samples import mono
from tasks.modalities.config import AudioPrepare
from tests.tasks.modalities.sounds import saved, tone

AUDIO = Audio()
LENGTH = 20_000
ID3 = b"ID3\x03\x00\x00\x00\x00\x01\x0a" + bytes(138)
RATES = [8000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000]


@functools.cache
def mp3(rate_hz: int = 16_000, channels: int = 1, **options: Any) -> bytes:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).normal(size=(LENGTH, channels)) * 0.05
    noise += (tone(LENGTH, rate_hz) / 32_768)[:, None]
    soundfile.write(buffer, noise, rate_hz, format="MP3", subtype="MPEG_LAYER_III", **options)
    return buffer.getvalue()


def frames(data: bytes) -> list[bytes]:
    """Cut at the frames of a file without tags, all of which have one rate."""
    sync = data[:2]
    starts = [0]
    while (following := data.find(sync, starts[-1] + 20)) > 0:
        starts.append(following)
    return [data[start:end] for start, end in zip(starts, [*starts[1:], len(data)], strict=True)]


def bare(data: bytes) -> bytes:
    """Without the frame that says how many follow, as many tools leave it."""
    return data[len(frames(data)[0]) :]


def refusal(data: bytes, **options: Any) -> RecordError:
    with pytest.raises(RecordError) as caught:
        AUDIO.encode(data, AudioPrepare(**options))
    return caught.value


# ---- read -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rate_hz", "channels"), [*((rate_hz, 1) for rate_hz in RATES), (16_000, 2), (48_000, 2)])
def test_a_lossy_sound_is_stored_as_the_flac_of_what_was_encoded(rate_hz: int, channels: int) -> None:
    encoded = AUDIO.encode(mp3(rate_hz, channels), AudioPrepare())
    header = read_header(encoded.data)
    assert (encoded.extension, header.rate_hz, header.channels, header.bits, header.frames) == ("flac", rate_hz, 1, 16, LENGTH)
    found = mono(encoded.data, header).astype(int)
    assert np.corrcoef(found, tone(LENGTH, rate_hz))[0, 1] > 0.98


@pytest.mark.parametrize(("rate_hz", "channels"), [(8000, 1), (16_000, 2), (22_050, 1), (44_100, 1), (44_100, 2)])
def test_a_variable_bit_rate_without_a_count_is_decoded_to_its_end(rate_hz: int, channels: int) -> None:
    data = bare(mp3(rate_hz, channels))
    header = read_header(data)
    samples = mono(data, header)
    whole = mono(mp3(rate_hz, channels), read_header(mp3(rate_hz, channels)))
    assert len(samples) == header.frames >= LENGTH
    late = 576  # LAME's own delay, which nobody tells the decoder now
    assert np.abs(samples[late : late + LENGTH].astype(int) - whole)[2000:].max() <= 1
    with soundfile.SoundFile(io.BytesIO(data)) as sound:
        assert sound.frames < LENGTH, "libsndfile alone stops early, which is why frames are counted"


def test_the_same_sound_comes_out_whatever_tags_stand_around_it() -> None:
    plain, tail = bare(mp3()), b"TAG" + bytes(125)
    wanted = AUDIO.encode(plain, AudioPrepare()).data
    for tagged in (ID3 + plain, ID3 + ID3 + plain, plain + tail, plain + b"APETAGEX" + bytes(40) + tail, plain + bytes(1000)):
        assert AUDIO.encode(tagged, AudioPrepare()).data == wanted
    counted = AUDIO.encode(mp3(), AudioPrepare()).data
    assert AUDIO.encode(ID3 + mp3() + tail, AudioPrepare()).data == counted


def test_constant_bit_rates_are_read_with_and_without_a_count() -> None:
    data = mp3(bitrate_mode="CONSTANT", compression_level=0.3)
    assert read_header(data).frames == LENGTH
    assert len(mono(bare(data), read_header(bare(data)))) == len(frames(bare(data))) * 576 - DECODER_DELAY


def test_a_count_of_fraunhofers_is_not_taken_for_sound() -> None:
    first, *rest = frames(mp3())
    vbri = bytearray(first)
    vbri[13:17] = bytes(4)
    vbri[36:40], vbri[50:54] = b"VBRI", len(rest).to_bytes(4, "big")
    data = bytes(vbri) + b"".join(rest)
    assert AUDIO.encode(data, AudioPrepare()).data == AUDIO.encode(b"".join(rest), AudioPrepare()).data


def test_an_mp3_by_another_name_is_known_by_its_content() -> None:
    assert read_header(mp3()).format == "mp3"
    assert read_header(ID3 + mp3()).format == "mp3"


# ---- refused ----------------------------------------------------------------------------------------------------------


def test_a_file_cut_at_any_frame_or_inside_of_one_is_refused_as_truncated() -> None:
    data = mp3()
    position = 0
    for frame in frames(data)[:-1]:
        position += len(frame)
        for end in (position - len(frame) // 2, position, position + 1, position + 4):
            assert refusal(data[:end]).reason == "audio/truncated", end


def test_a_file_without_a_count_that_is_cut_inside_of_a_frame_is_refused_as_truncated() -> None:
    data = bare(mp3())
    whole = len(frames(data)[0])
    for end in (whole + 1, whole + 3, whole + 4, len(data) - 5):
        assert refusal(data[:end]).reason == "audio/truncated", end


def test_two_files_behind_one_another_are_refused_since_only_the_first_would_be_read() -> None:
    error = refusal(mp3() + mp3())
    assert error.reason == "audio/header"
    assert "as when MP3s are put behind one another" in error.detail


def test_a_count_that_is_too_large_or_too_small_is_refused() -> None:
    data = bytearray(mp3())
    count = int.from_bytes(data[21:25], "big")
    data[21:25] = (count + 5).to_bytes(4, "big")
    assert refusal(bytes(data)).reason == "audio/truncated"
    assert f"promises {count + 5} frames, the file holds {count}" in refusal(bytes(data)).detail
    data[21:25] = (count - 5).to_bytes(4, "big")
    assert refusal(bytes(data)).reason == "audio/header"


def test_something_else_between_frames_is_refused_and_its_place_named() -> None:
    first, second, *rest = frames(bare(mp3()))
    error = refusal(first + second + b"junk" + b"".join(rest))
    assert error.reason == "audio/corrupt"
    assert f"at offset {len(first + second)}, where frame 3 of the MP3 should begin" in error.detail


def test_a_rate_that_changes_on_the_way_is_refused() -> None:
    error = refusal(bare(mp3(16_000)) + bare(mp3(24_000)))
    assert error.reason == "audio/header"
    assert "has 1 channels at 24000 Hz, the first one 1 at 16000 Hz" in error.detail


def test_a_tag_without_sound_is_refused() -> None:
    assert refusal(ID3).reason == "audio/truncated"
    assert refusal(ID3 + bytes(200)).reason == "audio/format"
    assert refusal(ID3[:6] + b"\xff" * 4 + mp3()).reason == "audio/header"


def test_what_is_over_a_limit_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.modalities.audio.mono", lambda *_: pytest.fail("it was decoded"))
    for options in ({"limit_seconds": 1.2}, {"limit_samples": 39_999}, {"limit_rate_hz": 8000}, {"limit_bytes": 100}):
        assert refusal(mp3(channels=2), **options).reason == "audio/too_large"


def test_counting_frames_ends_at_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.modalities.audio_mp3.MAX_FRAMES", 10)
    assert refusal(mp3()).reason == "audio/too_large"


def test_damage_is_never_more_than_a_bad_member() -> None:
    data, generator = mp3(), np.random.default_rng(2)
    for _ in range(60):
        damaged = bytearray(data)
        for position in generator.integers(len(data), size=3):
            damaged[position] ^= 1 << int(generator.integers(8))
        try:
            AUDIO.encode(bytes(damaged), AudioPrepare())
        except RecordError as error:
            assert error.reason.startswith("audio/")


def test_other_layers_are_refused() -> None:
    assert refusal(saved(tone(5000, 44_100), "MP3", "MPEG_LAYER_III", 44_100).replace(b"\xff\xfb", b"\xff\xfd")).reason == "audio/format"
