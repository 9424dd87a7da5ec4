"""open_clip's own loader on our tars: every sample with a picture and a text, pixel for pixel and word for word.

In: the folder that `foreign_shards` made; runs in the peers' environment. open_clip leaves out samples that lack the one or the other, so
those are not expected. Exit code 0: what it gave is what was expected, for validation (in order) and for training (shuffled, each once).
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import webdataset
from open_clip_train.data import get_wds_dataset
from PIL import Image

Seen = list[tuple[str, str]]
"""SHA-256 of the pixels, and the text."""


def main(folder: Path) -> int:
    wrong = 0
    for split in ("train", "val"):
        urls = [str(path) for path in sorted((folder / "shards").glob(f"{split}-*.tar"))]
        wanted = expected(urls, json.loads((folder / "expected.json").read_text())[split])
        in_order, shuffled = loaded(urls, len(wanted), training=False), loaded(urls, len(wanted), training=True)
        fine = in_order == wanted and Counter(shuffled) == Counter(wanted)
        wrong += not fine
        print(f"open_clip {split}: {len(wanted)} samples with picture and text, {'the same' if fine else 'NOT the same'}")
    return 1 if wrong else 0


def loaded(urls: list[str], count: int, *, training: bool) -> Seen:
    """What `get_wds_dataset` gives in one pass."""
    joined = "::".join(urls)
    options = {"train_data": joined, "val_data": joined, "train_num_samples": count, "val_num_samples": count, "seed": 0, "workers": 1}
    args = SimpleNamespace(**options, train_data_upsampling_factors=None, dataset_resampled=False, batch_size=1, world_size=1)
    data: Any = get_wds_dataset(args, preprocess_img=np.asarray, is_train=training, tokenizer=lambda text: [text])
    return [(pixels(images[0]), texts[0]) for images, texts in data.dataloader]


def expected(urls: list[str], samples: list[dict[str, str]]) -> Seen:
    """Pixels and text of the members whose digests are those that Medley wrote."""
    found = []
    by_key = {sample["__key__"]: sample for sample in webdataset.WebDataset(urls, shardshuffle=False)}
    for sample in samples:
        if "png" in sample and "txt" in sample:
            members = by_key[sample["__key__"]]
            for name in ("png", "txt"):
                assert hashlib.sha256(members[name]).hexdigest() == sample[name]
            with Image.open(io.BytesIO(members["png"])) as image:
                found.append((pixels(image.convert("RGB")), members["txt"].decode()))
    return found


def pixels(image: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(np.asarray(image)).tobytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
