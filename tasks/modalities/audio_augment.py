"""Stored sound to varied features, for training.

In: a member of a shard and a seed. Out: float32 TF, as `audio_reader` gives, which also collates it. Speed, noise and gain act on the
waveform, before features; masks on the features, after they were normalised.

    T steps of time   F features
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from tasks.modalities.audio_reader import AudioReader, resampler
from tasks.modalities.augment_config import AudioAugment
from tasks.modalities.chance import generator


@dataclass
class AudioAugmenter:
    """`tasks.contracts.Augmenter` of sound."""

    config: AudioAugment
    reader: AudioReader

    def read(self, data: bytes, seed: int) -> npt.NDArray[np.float32]:
        """float32 TF, T at least 1. BadMember when the bytes are no whole sound."""
        chance = generator(seed)
        with torch.inference_mode():
            wave_T = self._louder(self._noisy(self._faster(self.reader.wave(data), chance), chance), chance)
            features_TF = self.reader.features(wave_T)
            if self.config.time_masks or self.config.frequency_masks:
                features_TF = self._masked(features_TF, chance)
            return self.reader.array(features_TF)

    def _faster(self, wave_T: torch.Tensor, chance: np.random.Generator) -> torch.Tensor:
        """Speed perturbation (Ko et al. 2015): resampled, then taken for a sound of the rate it had. Cut to `max_seconds` again."""
        if not self.config.speeds:
            return wave_T
        hundredths = round(100 * self.config.speeds[int(chance.integers(len(self.config.speeds)))])
        if hundredths == 100:
            return wave_T
        read = self.reader.config
        faster_T: torch.Tensor = resampler(hundredths, 100)(wave_T)
        return faster_T[: max(1, round(read.max_seconds * read.rate_hz))]

    def _noisy(self, wave_T: torch.Tensor, chance: np.random.Generator) -> torch.Tensor:
        """White noise, by the ratio of mean powers."""
        if self.config.snr_db is None:
            return wave_T
        ratio = 10 ** (chance.uniform(*self.config.snr_db) / 20)
        noise_T = torch.from_numpy(chance.standard_normal(len(wave_T), dtype=np.float32))
        return wave_T.add_(noise_T.mul_(wave_T.square().mean().sqrt() / ratio))

    def _louder(self, wave_T: torch.Tensor, chance: np.random.Generator) -> torch.Tensor:
        if self.config.gain_db is None:
            return wave_T
        return wave_T.mul_(10 ** (chance.uniform(*self.config.gain_db) / 20)).clamp_(-1, 1)

    def _masked(self, features_TF: torch.Tensor, chance: np.random.Generator) -> torch.Tensor:
        """SpecAugment without time warping (arXiv:1904.08779); what is masked has the mean of the sound, which is 0 when normalised."""
        config, read = self.config, self.reader.config
        steps_per_s = read.rate_hz if read.features == "waveform" else 1 / read.hop_seconds
        longest = min(round(config.time_mask_seconds * steps_per_s), int(config.time_mask_share * len(features_TF)))
        fill = 0.0 if read.normalise == "utterance" else float(features_TF.mean())
        for _ in range(config.time_masks):
            start, end = _stretch(chance, longest, len(features_TF))
            features_TF[start:end] = fill
        for _ in range(config.frequency_masks):
            start, end = _stretch(chance, config.frequency_mask_bands, features_TF.shape[1])
            features_TF[:, start:end] = fill
        return features_TF


def _stretch(chance: np.random.Generator, longest: int, whole: int) -> tuple[int, int]:
    """Start and end of 0 to `longest` of `whole` steps, anywhere."""
    length = min(int(chance.integers(longest + 1)), whole)
    start = int(chance.integers(whole - length + 1))
    return start, start + length
