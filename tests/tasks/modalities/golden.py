"""Digests of what every modality makes of its probes, beside the library versions they were made with.

Formats whose decoders compute in floating point may differ in the last bit between processors, which is what the codec fingerprint is
for. They have sketches instead: means over equal parts of what was stored, which must agree but for rounding.

`python -m tests.tasks.modalities.golden` writes `golden.json` anew. Do that after raising the version of the modality whose bytes changed
in `tasks.modalities.MODALITIES`, or after an upgrade of a codec that changes bytes by itself.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image

from tasks.errors import BadMember
from tasks.modalities import MODALITIES
from tasks.modalities.fingerprint import codec_versions

PATH = Path(__file__).with_name("golden.json")

CONFIGS: dict[str, list[dict[str, Any]]] = {
    "image": [
        {},
        {"size": [40, 56], "fit": "crop", "keep": []},
        {"size": [48, 48], "fit": "pad", "format": "png", "mode": "gray"},
        {"max_side": 50, "format": "webp", "alpha": "black", "resample": "lanczos"},
    ],
    "text": [{}, {"lower": True, "punctuation": "remove", "normalise": "NFKC"}, {"repair": False, "normalise": "none"}],
    "audio": [{}, {"format": "wav", "rate_hz": 8000}, {"format": "flac", "rate_hz": 44_100}],
}
"""Every registered modality has a line here: the contract test looks."""


EXACT = {"audio": {"accept": ["wav", "flac"]}, "image": {"accept": ["jpeg", "png", "webp", "gif", "bmp", "tiff"]}}
"""What leaves out, of each modality, the formats that are decoded in floating point."""

PARTS = 24


def digests() -> dict[str, Any]:
    """modality → version, and one digest for each config over the encodings of all probes of exact formats."""
    found = {}
    for name, entry in MODALITIES.items():
        modality = entry.load()
        lines = []
        for options in CONFIGS[name]:
            total = hashlib.sha256()
            for probe in modality.probes():
                try:
                    encoded = modality.encode(probe, entry.prepare(**options, **EXACT.get(name, {})))
                except BadMember:
                    continue
                total.update(encoded.extension.encode() + hashlib.sha256(encoded.data).digest())
            lines.append(total.hexdigest())
        found[name] = {"version": entry.version, "digests": lines}
    return found


def sketches() -> dict[str, list[float]]:
    """modality and number of the probe → means of parts of what is stored, of the probes that `digests` leaves out."""
    found = {}
    for name, options in EXACT.items():
        modality = MODALITIES[name].load()
        for number, probe in enumerate(modality.probes()):
            try:
                modality.encode(probe, MODALITIES[name].prepare(**options))
            except BadMember:
                values = _values(name, modality.encode(probe, MODALITIES[name].prepare()).data)
                found[f"{name} {number}"] = [len(values), *(round(float(part.mean()), 2) for part in np.array_split(values, PARTS))]
    return found


def _values(name: str, data: bytes) -> np.ndarray[Any, Any]:
    if name == "audio":
        return soundfile.read(io.BytesIO(data), dtype="int16")[0].astype(np.float64)
    return np.asarray(Image.open(io.BytesIO(data))).astype(np.float64).ravel()


def main() -> None:
    content = {"versions": codec_versions(), "modalities": digests(), "sketches": sketches()}
    PATH.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
