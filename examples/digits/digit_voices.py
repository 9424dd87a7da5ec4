"""Synthetic voices that say the digits, dealt to splits, and the noise they are heard through.

In: voices/spoken_digits_synthetic.zip, which `synthesise.py` made. Out: clips by split and digit, and noisy WAV files.
"""

from __future__ import annotations

import io
import json
import math
import wave
import zipfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import soundfile
from digit_pairs import deal, stream
from numpy.typing import NDArray

RATE_HZ = 8000
VOICE_SHARES = {"val": 0.15, "test": 0.2}
"""Of the voices of each engine; the rest trains."""

Sound = NDArray[np.int16]
Voices = dict[str, dict[int, list[Sound]]]
"""Voice → digit → how it says the digit, in each of its variants of speed and pitch."""


def read_voices(archive: Path, seed: int) -> dict[str, Voices]:
    """Split → its voices. A voice is in one split with all its variants, and every split has voices of both engines."""
    with zipfile.ZipFile(archive) as members:
        clips = json.loads(members.read("voices.json"))["clips"]
        engines: dict[str, list[str]] = {clip["engine"]: [] for clip in clips}
        sounds: Voices = {}
        for clip in clips:
            if clip["voice"] not in sounds:
                sounds[clip["voice"]] = defaultdict(list)
                engines[clip["engine"]].append(clip["voice"])
            sounds[clip["voice"]][clip["digit"]].append(soundfile.read(io.BytesIO(members.read(clip["file"])), dtype="int16")[0])
    splits: dict[str, Voices] = defaultdict(dict)
    for engine, voices in engines.items():
        for split, dealt in deal(voices, VOICE_SHARES, stream(seed, "voices", engine)).items():
            splits[split] |= {voice: sounds[voice] for voice in dealt}
    return dict(splits)


def say(digit: int, voices: Voices, random: np.random.Generator) -> Sound:
    """One voice, and one of its variants, each with the same chance as any other."""
    names = list(voices)
    variants = voices[names[random.integers(len(names))]][digit]
    return variants[random.integers(len(variants))]


def add_noise(sound: Sound, random: np.random.Generator) -> Sound:
    """White Gaussian noise with exactly the power of the sound: 0 dB from its first sample to its last.

    Both powers are sums of integers, so that no machine's order of additions can turn a sample over.
    """
    noise = np.rint(4096 * random.standard_normal(len(sound))).astype(np.int64)
    speech = sound.astype(np.int64)
    gain = math.sqrt(int(speech @ speech) / int(noise @ noise))
    return np.rint(speech + gain * noise).clip(-32768, 32767).astype(np.int16)


def wav(sound: Sound) -> bytes:
    """16-bit mono WAV."""
    data = io.BytesIO()
    with wave.open(data, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(sound.astype("<i2").tobytes())
    return data.getvalue()
