"""`tasks.modalities.audio`, its header checks and its exact arithmetic."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import torchaudio

from tasks.errors import BadMember, FilteredOut, RecordError
from tasks.modalities import merge_all
from tasks.modalities.audio import Audio
from tasks.modalities.audio_header import read_header
from tasks.modalities.audio_samples import mono, resample
from tasks.modalities.config import AudioFit, AudioPrepare
from tests.tasks.modalities.sounds import header, saved, tone, wav_bytes

AUDIO = Audio()


def encode(data: bytes, **options: Any) -> tuple[str, bytes]:
    encoded = AUDIO.encode(data, AudioPrepare(**options))
    return encoded.extension, encoded.data


def decoded(data: bytes) -> list[int]:
    values: list[int] = mono(data, read_header(data)).tolist()
    return values


def refusal(data: bytes, **options: Any) -> RecordError:
    with pytest.raises(RecordError) as caught:
        encode(data, **options)
    return caught.value


# ---- kept and changed -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "extension"), [("WAV", "wav"), ("FLAC", "flac")])
def test_mono_16_bit_sources_keep_their_bytes(kind: str, extension: str) -> None:
    data = saved(tone(1000), kind)
    assert encode(data) == (extension, data)
    assert encode(data, format=extension) == (extension, data)
    assert encode(data, rate_hz=16_000) == (extension, data)


def test_one_format_for_all_changes_the_container_and_no_sample() -> None:
    wav, flac = saved(tone(1000), "WAV"), saved(tone(1000), "FLAC")
    for extension, data in (encode(wav, format="flac"), encode(flac, format="wav")):
        assert decoded(data) == tone(1000).tolist()
        assert extension == read_header(data).format


def test_our_wav_is_what_other_readers_understand() -> None:
    assert wav_bytes(tone(99), 8000) == saved(tone(99), rate_hz=8000)


def test_channels_are_averaged_with_one_exact_rounding() -> None:
    stereo = np.array([[1, 2], [-1, -2], [32_767, 32_767], [-32_768, -32_768], [3, 0]], dtype=np.int16)
    assert decoded(encode(saved(stereo))[1]) == [2, -1, 32_767, -32_768, 2], "half up"


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_other_sample_widths_become_16_bits(subtype: str) -> None:
    found = np.asarray(decoded(encode(saved(tone(1000).astype(np.float64) / 32_768, subtype=subtype))[1]))
    assert np.abs(found - tone(1000)).max() <= (256 if subtype == "PCM_U8" else 1)


def test_floats_beyond_full_scale_are_clipped_and_no_numbers_are_refused() -> None:
    assert decoded(encode(saved(np.array([2.0, -2.0, 0.5]), subtype="FLOAT"))[1]) == [32_767, -32_768, 16_384]
    assert refusal(saved(np.array([0.1, np.nan]), subtype="FLOAT")).reason == "audio/corrupt"


def test_extensible_headers_are_understood() -> None:
    three = np.stack([tone(100)] * 3, axis=1)
    data = saved(three, "WAVEX")
    assert decoded(encode(data)[1]) == tone(100).tolist()


@pytest.mark.parametrize(("old", "new"), [(8000, 16_000), (44_100, 16_000), (22_050, 16_000), (16_000, 11_025), (48_000, 8000)])
def test_resampling_is_torchaudios_to_the_last_bit_but_one(old: int, new: int) -> None:
    noise = (np.random.default_rng(0).normal(size=2000) * 6000).clip(-32_768, 32_767).astype(np.int16)
    expected = torchaudio.functional.resample(torch.from_numpy(noise.astype(np.float64)), old, new).numpy()
    found = resample(noise, old, new)
    assert len(found) == len(expected)
    assert np.abs(found - expected.clip(-32_768, 32_767)).max() < 1.01


def test_resampling_between_rates_without_a_common_divisor_works() -> None:
    found = resample(tone(4410, 44_101), 44_101, 16_000)
    assert np.abs(found[50:-50] - tone(len(found), 16_000)[50:-50].astype(int)).max() < 120


@pytest.mark.parametrize("length", [1, 2, 30])
def test_very_short_sounds_are_resampled(length: int) -> None:
    assert len(resample(tone(length), 8000, 16_000)) == 2 * length


def test_a_baked_in_rate_is_stored() -> None:
    extension, data = encode(saved(tone(4410, 44_100), rate_hz=44_100), rate_hz=16_000)
    assert (extension, read_header(data).rate_hz, read_header(data).frames) == ("flac", 16_000, 1600)


# ---- refused ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", header(b""), saved(np.zeros(0, dtype=np.int16))])
def test_a_zero_length_wav_is_refused_as_empty(data: bytes) -> None:
    assert refusal(data).reason == "audio/empty"


@pytest.mark.parametrize(
    ("lies", "detail"),
    [
        ({"data": 100_000, "riff": 236}, "promises 100000 bytes of sound, the file holds 200"),
        ({"data": 0xFFFFFFFF, "riff": 236}, "promises 4294967295 bytes"),
        ({"riff": 100_000}, "promises 100008 bytes, the file has 244"),
        ({"data": 0, "riff": 0}, "says there is no sound, but 200 bytes follow; the recording was not finished"),
        ({"rate": 44_100}, "44100 Hz with 2 bytes a step are 88200 bytes a second, the header says 32000"),
        ({"channels": 2}, "2 channels of 16 bits are 4 bytes a step, the header says 2"),
        ({"bits": 8}, "1 channels of 8 bits are 1 bytes a step"),
        ({"channels": 0, "block": 0, "byte_rate": 0}, "0 channels at 16000 Hz"),
        ({"rate": 0, "byte_rate": 0}, "1 channels at 0 Hz"),
        ({"data": 199}, "no whole number of steps"),
    ],
)
def test_a_wav_whose_header_lies_is_refused_and_the_lie_is_named(lies: dict[str, int], detail: str) -> None:
    encode(header())
    error = refusal(header(**lies))
    assert error.reason == "audio/header"
    assert detail in error.detail


def test_chunks_in_odd_places_are_read_and_missing_ones_refused() -> None:
    whole = header()
    extra = b"LIST\x03\x00\x00\x00abc\x00"
    padded = whole[:36] + extra + whole[36:]
    assert encode(padded)[1] == padded
    small = (50).to_bytes(4, "little")
    assert "there is no `data` chunk" in refusal(b"RIFF" + bytes(4) + whole[8:36]).detail
    assert "samples come before their description" in refusal(b"RIFF" + small + whole[8:12] + whole[36:]).detail
    assert "there is no `fmt ` chunk" in refusal(b"RIFF" + bytes(4) + whole[8:12] + extra).detail


def test_compressed_wavs_and_other_files_are_refused_by_format() -> None:
    assert refusal(header(kind=2)).reason == "audio/format"
    assert refusal(b"ADIF" + bytes(60)).detail.startswith("begins with 41 44 49 46")


def test_a_flac_that_is_cut_or_damaged_is_refused() -> None:
    data = saved(tone(20_000), "FLAC")
    assert refusal(data[: len(data) // 2]).reason in {"audio/corrupt", "audio/truncated"}
    assert refusal(data[:30]).reason == "audio/header"
    damaged = bytearray(data)
    damaged[30] ^= 1
    assert "checksum" in refusal(bytes(damaged)).detail, "the MD5 of the samples is looked at"


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
def test_the_checksum_of_a_whole_flac_is_right_for_every_width(subtype: str) -> None:
    stereo = np.stack([tone(500), -tone(500)], axis=1).astype(np.float64) / 32_768
    encode(saved(stereo, "FLAC", subtype))


def test_a_flac_of_unknown_length_is_refused() -> None:
    data = bytearray(saved(tone(500), "FLAC"))
    data[21] &= 0xF0
    data[22:26] = bytes(4)
    assert "does not say how long it is" in refusal(bytes(data)).detail


@pytest.mark.parametrize(
    ("options", "detail"),
    [
        ({"limit_seconds": 0.05}, "0.1 s; `limit_seconds`"),
        ({"limit_bytes": 100}, "`limit_bytes`"),
        ({"limit_rate_hz": 8000}, "16000 Hz; `limit_rate_hz`"),
        ({"limit_samples": 1599}, "1600 samples; `limit_samples`"),
    ],
)
def test_what_is_over_a_limit_is_refused_before_decoding(options: dict[str, Any], detail: str) -> None:
    error = refusal(saved(tone(1600)), **options)
    assert isinstance(error, BadMember)
    assert error.reason == "audio/too_large"
    assert detail in error.detail


def test_length_filters_are_no_failures() -> None:
    for options in ({"min_seconds": 0.2}, {"max_seconds": 0.05}):
        with pytest.raises(FilteredOut, match=f"audio/{next(iter(options))}: 0.100 s"):
            encode(saved(tone(1600)), **options)
    encode(saved(tone(1600)), min_seconds=0.1, max_seconds=0.1)


def test_a_rate_that_flac_cannot_store_says_what_to_do() -> None:
    stereo = np.zeros((10, 2), dtype=np.int16)
    error = refusal(saved(stereo, rate_hz=700_000), limit_rate_hz=10_000_000)
    assert error.reason == "audio/rate"
    assert "format: wav" in error.detail


@pytest.mark.parametrize(("accept", "refused"), [(["flac"], "wav"), (["wav", "ogg", "mp3"], "flac")])
def test_formats_that_a_recipe_does_not_accept_are_refused(accept: list[str], refused: str) -> None:
    error = refusal(saved(tone(100), refused.upper()), accept=accept)
    assert error.reason == "audio/format"
    assert error.detail == f"{refused}; `accept` of its `prepare` allows {', '.join(accept)}"


# ---- statistics -------------------------------------------------------------------------------------------------------


def test_statistics_are_those_of_the_stored_samples() -> None:
    sounds = [tone(1600), tone(800, pitch_hz=100)]
    stats = merge_all(AUDIO.encode(saved(sound), AudioPrepare()).stats for sound in sounds)
    together = np.concatenate(sounds).astype(np.int64)
    assert (stats["samples"], stats["sum"], stats["sum_sq"]) == (2400, together.sum(), (together**2).sum())
    assert (stats["milliseconds"], stats["min_samples"], stats["max_samples"]) == (150, 800, 1600)
    fit = AUDIO.fit(AudioFit(), stats, lambda: iter(())).values
    assert fit["rms"] == pytest.approx(np.sqrt(((together / 32_768) ** 2).mean()))
    assert fit["mean_seconds"] == pytest.approx(0.075)


def test_the_lowest_level_is_counted_without_overflow() -> None:
    assert AUDIO.encode(saved(np.full(4, -32_768, dtype=np.int16)), AudioPrepare()).stats["max_level"] == 32_768


def test_soundfile_agrees_on_what_is_kept() -> None:
    data = encode(saved(tone(500), "FLAC"))[1]
    assert soundfile.read(io.BytesIO(data), dtype="int16")[0].tolist() == decoded(data)
