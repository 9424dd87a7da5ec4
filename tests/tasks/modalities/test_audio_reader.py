"""`tasks.modalities.audio_reader`, against torchaudio's own transforms."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
import torchaudio
from pydantic import ValidationError

from tasks.contracts import Fit
from tasks.errors import BadMember
from tasks.modalities.audio_reader import AudioReader
from tasks.modalities.config import AudioRead
from tests.tasks.modalities.sounds import saved, tone, wav_bytes


def reader(**options: Any) -> AudioReader:
    return AudioReader.build(AudioRead(**options), Fit())


def read(data: bytes, **options: Any) -> torch.Tensor:
    return torch.from_numpy(reader(**options).read(data))


def test_mfcc_are_torchaudios() -> None:
    sound = tone(8000)
    found = read(wav_bytes(sound, 16_000), features="mfcc", num_mels=40, num_coefficients=13, normalise="none")
    transform = torchaudio.transforms.MFCC(
        16_000,
        n_mfcc=13,
        log_mels=True,
        melkwargs={"n_fft": 512, "win_length": 400, "hop_length": 160, "n_mels": 40, "pad_mode": "constant"},
    )
    assert found.shape == (51, 13)
    assert torch.allclose(found, transform(torch.from_numpy(sound.astype(np.float32)) / 32_768).T, atol=1e-3)


def test_log_mel_has_a_frame_each_ten_milliseconds_and_finds_the_pitch() -> None:
    low = read(wav_bytes(tone(16_000, pitch_hz=200), 16_000), num_mels=40, normalise="none")
    high = read(wav_bytes(tone(16_000, pitch_hz=3000), 16_000), num_mels=40, normalise="none")
    assert low.shape == (101, 40)
    assert low[50].argmax() < high[50].argmax()


def test_frames_follow_the_clock_at_any_rate() -> None:
    for rate_hz in (8000, 16_000, 44_100):
        assert read(wav_bytes(tone(rate_hz, rate_hz), rate_hz), rate_hz=rate_hz, num_mels=32).shape == (101, 32)


def test_each_feature_of_an_utterance_is_normalised_over_time() -> None:
    found = read(wav_bytes(tone(16_000), 16_000))
    assert found.mean(0).abs().max() < 1e-4
    assert (found.std(0, correction=0) - 1).abs().max() < 1e-2


def test_the_waveform_is_the_samples() -> None:
    found = read(wav_bytes(tone(100), 16_000), features="waveform", normalise="none")
    assert found.shape == (100, 1)
    assert torch.equal(found[:, 0] * 32_768, torch.from_numpy(tone(100).astype(np.float32)))


def test_sounds_are_resampled_as_torchaudio_does() -> None:
    sound = tone(4410, 44_100)
    found = read(wav_bytes(sound, 44_100), features="waveform", normalise="none", rate_hz=16_000)[:, 0]
    expected = torchaudio.functional.resample(torch.from_numpy(sound.astype(np.float32)) / 32_768, 44_100, 16_000)
    assert torch.allclose(found, expected, atol=1e-6)


def test_a_rate_without_a_common_divisor_does_not_take_gigabytes() -> None:
    found = read(wav_bytes(tone(4410, 44_101), 44_101), features="waveform", normalise="none", rate_hz=16_000)
    assert found.shape == (1600, 1)
    assert abs(found.abs().max().item() - 0.4) < 0.02


@pytest.mark.parametrize("features", ["log_mel", "mfcc", "waveform"])
@pytest.mark.parametrize("length", [1, 5, 200])
def test_sounds_shorter_than_a_frame_have_features(features: str, length: int) -> None:
    found = read(wav_bytes(tone(length), 16_000), features=features)
    assert len(found) == (length if features == "waveform" else 1 + length // 160)
    assert found.isfinite().all()


def test_silence_is_finite() -> None:
    assert read(wav_bytes(np.zeros(3000, dtype=np.int16), 16_000)).abs().max() == 0


def test_long_sounds_are_cut() -> None:
    assert read(wav_bytes(tone(16_000), 16_000), max_seconds=0.5).shape[0] == 51
    assert read(wav_bytes(tone(44_100, 44_100), 44_100), max_seconds=0.5, features="waveform").shape[0] == 8000


def test_flac_and_wav_of_one_sound_read_the_same() -> None:
    assert torch.equal(read(saved(tone(3000), "FLAC")), read(saved(tone(3000), "WAV")))


def test_batches_are_padded_and_know_their_lengths() -> None:
    plain = reader(features="waveform", normalise="none")
    batch = plain.collate([plain.read(wav_bytes(tone(3), 16_000)), None, plain.read(wav_bytes(tone(5), 16_000))])
    assert batch.values.shape == (3, 5, 1)
    assert batch.values.dtype == torch.float32
    assert batch.lengths is not None
    assert batch.lengths.tolist() == [3, 1, 5]
    assert not batch.values[0, 3:].any()
    assert not batch.values[1].any()


def test_a_batch_in_used_memory_is_padded_with_zeros_all_the_same() -> None:
    plain = reader(features="waveform", normalise="none")
    long, short = (plain.read(wav_bytes(tone(length), 16_000)) for length in (5, 3))
    used = plain.collate([long, long])
    at = used.values.data_ptr()
    used.values.fill_(7.0)
    del used
    batch = plain.collate([None, long[:5]])
    assert batch.values.data_ptr() == at
    assert not batch.values[0].any()
    del batch
    batch = plain.collate([short, long])
    assert not batch.values[0, 3:].any()


def test_shapes_name_the_features() -> None:
    assert [reader(features=name).shape["features"] for name in ("waveform", "log_mel", "mfcc")] == [1, 64, 13]


def test_threads_share_one_reader() -> None:
    shared, data = reader(num_mels=40), wav_bytes(tone(8000, 8000), 8000)
    expected, found = shared.read(data), []
    threads = [threading.Thread(target=lambda: found.extend(shared.read(data) for _ in range(5))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 20
    assert all(np.allclose(value, expected, atol=1e-5) for value in found)


def test_a_damaged_member_is_refused() -> None:
    with pytest.raises(BadMember, match="audio/header"):
        reader().read(wav_bytes(tone(500), 16_000)[:300])


def test_more_coefficients_than_bands_are_refused() -> None:
    with pytest.raises(ValidationError, match="there are only 10 mel bands"):
        AudioRead(features="mfcc", num_mels=10)
