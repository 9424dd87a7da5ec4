"""From stored WAV to log-mel batches, beside a bare loop over the same torchaudio calls.

Two seconds of 16 kHz mono, PCM; 80 mels, frames of 25 ms every 10 ms. Floor: the data chunk as float32, `MelSpectrogram`, logarithm, one
after the other in one thread, and nothing else. Ours: `AudioReader.read` of the member (header walk, length, sample format, cut, features)
and `collate` to a padded batch with lengths, also in one thread; both see the same bytes, and the features are compared. Throughput is
marginal, of 3N sounds over N. Goal: 0.9. Beside it, where librosa is installed, its `feature.melspectrogram`.
"""

from __future__ import annotations

import importlib.util
import struct
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import measure, shard_sets
from tasks.contracts import Fit

COUNT = 400
BATCH_SIZE = 32
GOAL = 0.9


def run(rounds: int, count: int = COUNT) -> dict[str, Any]:
    """The ratio of marginal throughputs; sounds a second of every way beside it."""
    import torch
    import torchaudio

    from tasks.modalities.audio_reader import LOG_FLOOR, AudioReader
    from tasks.modalities.config import AudioRead

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    config = AudioRead(features="log_mel", rate_hz=shard_sets.RATE_HZ, num_mels=80, normalise="none")
    reader = AudioReader.build(config, Fit())
    mel = torchaudio.transforms.MelSpectrogram(
        config.rate_hz, n_fft=512, win_length=400, hop_length=160, n_mels=config.num_mels, pad_mode="constant"
    )
    sounds = [shard_sets.sound(number) for number in range(3 * count)]

    def bare(data: bytes) -> Any:
        (size,) = struct.unpack_from("<I", data, 40)
        wave_T = torch.from_numpy(np.frombuffer(data, "<i2", size // 2, 44).astype(np.float32)) / 32_768
        return torch.log(mel(wave_T) + LOG_FLOOR).T

    def floor(sounds: Sequence[bytes]) -> None:
        with torch.inference_mode():
            for data in sounds:
                bare(data)

    def medley(sounds: Sequence[bytes]) -> None:
        for start in range(0, len(sounds), BATCH_SIZE):
            reader.collate([reader.read(data) for data in sounds[start : start + BATCH_SIZE]])

    if not all(np.allclose(reader.read(data), bare(data).numpy(), atol=1e-5) for data in sounds[:20]):
        raise RuntimeError("the two sides give other features")
    ways = {"medley": medley, "floor": floor}
    if importlib.util.find_spec("librosa"):
        ways["librosa"] = _librosa
    sides = {
        f"{way} {number}": lambda way=way, number=number: _timed(ways[way], sounds[:number])
        for way in ways
        for number in (count, 3 * count)
    }
    try:
        for side in sides.values():
            side()
        seconds = measure.interleave(rounds, sides)
    finally:
        torch.set_num_threads(threads)
    rates = {
        way: [2 * count / (long - short) for short, long in zip(seconds[f"{way} {count}"], seconds[f"{way} {3 * count}"], strict=True)]
        for way in ways
    }
    over = {way: [one / other for one, other in zip(rates[way], rates["floor"], strict=True)] for way in ways}
    ratios = {"of_floor": measure.median(over["medley"], goal=GOAL, sense="at least")}
    ratios |= {f"{way}_of_floor": measure.median(over[way]) for way in ways if way == "librosa"}
    ratios |= {f"{way}_sounds_per_s": measure.median(values) for way, values in rates.items()}
    return {"name": "audio", "ok": ratios["of_floor"]["ok"], "ratios": ratios}


def _timed(way: Any, sounds: Sequence[bytes]) -> float:
    begun = time.perf_counter()
    way(sounds)
    return time.perf_counter() - begun


def _librosa(sounds: Sequence[bytes]) -> None:
    import librosa

    for data in sounds:
        wave = np.frombuffer(data, "<i2", offset=44).astype(np.float32) / 32_768
        power = librosa.feature.melspectrogram(y=wave, sr=shard_sets.RATE_HZ, n_fft=512, win_length=400, hop_length=160, n_mels=80)
        np.log(power + 1e-6)
