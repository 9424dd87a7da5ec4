"""Random numbers that belong to a sample.

In: the seed of a training, an epoch, a sample's key, a modality. Out: a seed, and draws from its generator. Rank, worker, thread and
what was drawn before never enter, so that a batch is the same on any number of workers and after a resume.
"""

from __future__ import annotations

import hashlib
import math

import numpy as np


def sample_seed(seed: int, epoch: int, key: str, modality: str) -> int:
    """64 bits for one member in one epoch."""
    return int.from_bytes(hashlib.sha256(f"{seed}\0{epoch}\0{modality}\0{key}".encode()).digest()[:8])


def generator(seed: int) -> np.random.Generator:
    """A generator of one's own."""
    return np.random.Generator(np.random.PCG64(seed))


def around(chance: np.random.Generator, middle: float, reach: float) -> float:
    """Between `middle` - `reach` and `middle` + `reach`, uniformly."""
    return float(chance.uniform(middle - reach, middle + reach))


def factor(chance: np.random.Generator, most: float) -> float:
    """Between 1/`most` and `most`, its logarithm uniformly."""
    return math.exp(float(chance.uniform(-math.log(most), math.log(most))))
