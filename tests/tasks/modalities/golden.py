"""Digests of what every modality makes of its probes, beside the library versions they were made with.

`python -m tests.tasks.modalities.golden` writes `golden.json` anew. Do that after raising the version of the modality whose bytes changed
in `tasks.modalities.MODALITIES`, or after an upgrade of a codec that changes bytes by itself.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

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


def digests() -> dict[str, Any]:
    """modality → version, and one digest for each config over the encodings of all probes."""
    found = {}
    for name, entry in MODALITIES.items():
        modality = entry.load()
        lines = []
        for options in CONFIGS[name]:
            total = hashlib.sha256()
            for probe in modality.probes():
                encoded = modality.encode(probe, entry.prepare(**options))
                total.update(encoded.extension.encode() + hashlib.sha256(encoded.data).digest())
            lines.append(total.hexdigest())
        found[name] = {"version": entry.version, "digests": lines}
    return found


def main() -> None:
    PATH.write_text(json.dumps({"versions": codec_versions(), "modalities": digests()}, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
