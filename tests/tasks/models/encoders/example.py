"""A tiny batch of each medium, with the shape that its reader would give. Video, sensors and tables have no reader yet.

Shape suffixes: B samples, C channels, H height, W width, T steps, F features.
"""

from __future__ import annotations

from typing import Any

import torch

from tasks.contracts import ModalityBatch
from tasks.models.encoders import ENCODERS
from tasks.registry import implementation

WIDTH = 16
SHAPES: dict[str, dict[str, int]] = {
    "image": {"channels": 3, "height": 32, "width": 32},
    "text": {"vocab_size": 20, "max_tokens": 9},
    "audio": {"features": 12},
    "waveform": {"features": 1},
    "video": {"frames": 6, "channels": 3, "height": 16, "width": 16},
    "sensor": {"features": 5},
    "table": {"numbers": 3, "categories": 2, "category_0": 4, "category_1": 3},
}
"""Medium → shape. Sensors and sound are alike in it, and so both stand for `features`."""
LENGTHS = {"text": [9, 1, 4, 6], "audio": [40, 1, 17, 24], "waveform": [900, 1, 421, 640], "video": [6, 1, 3, 2], "sensor": [11, 1, 4, 8]}
"""Medium → valid steps of each of the four samples. One word, one frame, one step is the least that a reader gives."""
SMALL: dict[str, dict[str, Any]] = {"word_vectors": {"weights": "vectors.txt", "dimension": 8}, "video_transformer": {"patch": 8}}
"""Kind → what its config must be given, or is given to keep a test short."""


def values(medium: str, seed: int = 0) -> ModalityBatch:
    """Four samples."""
    generator = torch.Generator().manual_seed(seed)
    steps = max(LENGTHS.get(medium, [0]))
    lengths = torch.tensor(LENGTHS[medium]) if steps else None
    if medium == "image":
        return ModalityBatch(torch.randn(4, 3, 32, 32, generator=generator))
    if medium == "text":
        return ModalityBatch(torch.randint(4, 20, (4, steps), generator=generator), lengths)
    if medium == "video":
        return ModalityBatch(torch.randn(4, steps, 3, 16, 16, generator=generator), lengths)
    if medium == "table":
        codes = [torch.randint(0, count, (4, 1), generator=generator) for count in (4, 3)]
        return ModalityBatch(torch.cat([torch.randn(4, 3, generator=generator), *codes], 1))
    return ModalityBatch(torch.randn(4, steps, SHAPES[medium]["features"], generator=generator), lengths)


def encoder(kind: str, medium: str, seed: int = 0, **given: Any) -> Any:
    """In eval mode."""
    torch.manual_seed(seed)
    config = ENCODERS[kind].config.model_validate({**SMALL.get(kind, {}), **given})
    return implementation(ENCODERS, kind)(config, SHAPES[medium], WIDTH).eval()
