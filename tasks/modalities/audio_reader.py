"""Stored sound to features.

In: a member of a shard. Out: float32 TF per sample, and per batch float32 BTF with lengths. B samples, T steps, F features. Everything in
floating point happens here, on reading, since it differs in the last bits between processors.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
import torchaudio

from tasks.contracts import Fit, ModalityBatch
from tasks.modalities.audio_header import read_header
from tasks.modalities.audio_samples import mono, resample
from tasks.modalities.config import AudioRead
from tasks.modalities.reused import Reused

LOG_FLOOR = 1e-6
"""Added before the logarithm; silence becomes -13.8."""

DEVIATION_FLOOR = 1e-5
MAX_KERNEL = 1 << 22
"""torchaudio's resampling kernel has old x new rate values (after division): unusual rates take the exact resampler instead."""


@dataclass
class AudioReader:
    """`tasks.contracts.Reader` of sound."""

    config: AudioRead
    shape: Mapping[str, int]
    memory: Reused = field(default_factory=Reused, repr=False, compare=False)
    """Of batches."""

    @classmethod
    def build(cls, config: AudioRead, fit: Fit) -> AudioReader:
        del fit
        features = {"waveform": 1, "log_mel": config.num_mels, "mfcc": config.num_coefficients}[config.features]
        return cls(config, {"features": features})

    def read(self, data: bytes) -> npt.NDArray[np.float32]:
        """float32 TF, T at least 1. BadMember when the bytes are no whole sound."""
        with torch.inference_mode():
            return self.array(self.features(self.wave(data)))

    def wave(self, data: bytes) -> torch.Tensor:
        """float32 T of the caller's own, -1 to 1 at `rate_hz`, cut to `max_seconds`. BadMember when the bytes are no whole sound."""
        header = read_header(data)
        samples = mono(data, header)[: max(1, round(self.config.max_seconds * header.rate_hz))]
        old, new = header.rate_hz, self.config.rate_hz
        divisor = math.gcd(old, new)
        usual = old // divisor * (new // divisor) <= MAX_KERNEL
        if not usual:
            samples = resample(samples, old, new)
        wave_T = torch.from_numpy(samples.astype(np.float32)) / 32_768
        return resampler(old, new)(wave_T) if usual and old != new else wave_T

    def features(self, wave_T: torch.Tensor) -> torch.Tensor:
        """float32 TF of a waveform, normalised as asked."""
        features_TF = self._features(wave_T)
        if self.config.normalise == "utterance":
            deviation_F, mean_F = torch.std_mean(features_TF, dim=0, correction=0)
            features_TF = (features_TF - mean_F) / (deviation_F + DEVIATION_FLOOR)
        return features_TF

    def array(self, features_TF: torch.Tensor) -> npt.NDArray[np.float32]:
        """What `collate` takes; not always contiguous, since it is copied into a batch anyway."""
        return features_TF.numpy()

    def collate(self, values: Iterable[npt.NDArray[np.float32] | None]) -> ModalityBatch:
        """float32 BTF padded with zeros, and lengths; a sample without sound is one step of zeros."""
        samples = list(values)
        lengths = [1 if sample is None else len(sample) for sample in samples]
        features_BTF = self.memory.empty((len(samples), max(lengths, default=1), self.shape["features"]), np.float32)
        for features_TF, sample in zip(features_BTF, samples, strict=True):
            length = 0
            if sample is not None:
                length = len(sample)
                features_TF[:length] = sample
            features_TF[length:] = 0.0
        return ModalityBatch(torch.from_numpy(features_BTF), torch.tensor(lengths, dtype=torch.int64))

    def _features(self, wave_T: torch.Tensor) -> torch.Tensor:
        if self.config.features == "waveform":
            return wave_T[:, None]
        mel = _mel(self.config.rate_hz, self.config.frame_seconds, self.config.hop_seconds, self.config.num_mels)
        log_mel_TF = torch.log(mel(wave_T) + LOG_FLOOR).T
        if self.config.features == "log_mel":
            return log_mel_TF
        return log_mel_TF @ _cosines(self.config.num_coefficients, self.config.num_mels)


@functools.lru_cache(maxsize=32)
def resampler(old: int, new: int) -> torchaudio.transforms.Resample:
    """From one rate to another; keep the product of both, after division, below MAX_KERNEL."""
    return torchaudio.transforms.Resample(old, new)


@functools.lru_cache(maxsize=32)
def _mel(rate_hz: int, frame_seconds: float, hop_seconds: float, num_mels: int) -> torchaudio.transforms.MelSpectrogram:
    """Power mel spectrogram. Padded with zeros, not by reflection, so that a sound shorter than a frame has a frame."""
    window = max(2, round(frame_seconds * rate_hz))
    return torchaudio.transforms.MelSpectrogram(
        rate_hz,
        n_fft=1 << (window - 1).bit_length(),
        win_length=window,
        hop_length=max(1, round(hop_seconds * rate_hz)),
        n_mels=num_mels,
        pad_mode="constant",
    )


@functools.lru_cache(maxsize=32)
def _cosines(num_coefficients: int, num_mels: int) -> torch.Tensor:
    """Orthonormal DCT-II, mels x coefficients."""
    cosines: torch.Tensor = torchaudio.functional.create_dct(num_coefficients, num_mels, norm="ortho")
    return cosines
