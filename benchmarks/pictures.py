"""A corpus to shard: JPEGs of about 500 px from smooth random fields with noise, each with a line of text. The same on every machine.

In: a number. Out: media files and a corpus artifact as `ingest` would leave it.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tasks.contracts import Artifact

NOISE = 6.0
"""Standard deviation in grey values; with it a picture is about as large as a photograph of its size."""
WORDS = ("amber", "birch", "cloud", "delta", "ember", "fjord", "grove", "heath", "islet", "jetty", "knoll", "ledge")


def picture(number: int) -> bytes:
    """A JPEG, 460 to 540 px wide and three quarters as high."""
    draw = np.random.default_rng(number)
    width = int(draw.integers(460, 541))
    coarse = draw.integers(0, 256, (7, 9, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, width * 3 // 4), Image.Resampling.BICUBIC), dtype=np.float32)
    noise = draw.standard_normal(smooth.shape[:2], dtype=np.float32)[:, :, None] * NOISE
    buffer = io.BytesIO()
    Image.fromarray(np.clip(smooth + noise, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=87)
    return buffer.getvalue()


def caption(number: int) -> bytes:
    draw = np.random.default_rng(number)
    return f"Picture {number}: {' '.join(draw.choice(WORDS, 12))}.\n".encode()


def write_corpus(folder: Path, media: Path, rows: list[dict[str, Any]]) -> Artifact:
    """A corpus artifact over media files that are there: `rows` of `make_media`."""
    folder.mkdir()
    columns: dict[str, pa.Array] = {"key": pa.array([row["key"] for row in rows])}
    columns |= {name: pa.array([value] * len(rows)) for name, value in (("split", "train"), ("partition", "default"))}
    columns["group"] = columns["key"]
    for modality, extension in (("image", "jpg"), ("text", "txt")):
        columns[f"{modality}.uri"] = pa.array([str(media / f"{row['key']}.{extension}") for row in rows])
        columns |= {f"{modality}.{name}": pa.nulls(len(rows), pa.int64()) for name in ("offset", "length")}
        columns[f"{modality}.inline"] = pa.nulls(len(rows), pa.binary())
        columns[f"{modality}.size"] = pa.array([row[f"{modality}.size"] for row in rows], pa.int64())
        columns[f"{modality}.mtime_ns"] = pa.array([0] * len(rows), pa.int64())
        columns[f"{modality}.sha256"] = pa.array([row[f"{modality}.sha256"] for row in rows])
    pq.write_table(pa.table(columns), folder / "records.parquet")
    meta = {"format": 1, "modalities": ["image", "text"], "labels": {}, "splits": {"train": len(rows)}, "unreadable": []}
    (folder / "corpus.json").write_text(json.dumps(meta))
    return Artifact("corpus", hashlib.sha256(str(folder).encode()).hexdigest(), folder)


def make_media(folder: Path, count: int, pool: Pool) -> list[dict[str, Any]]:
    """Write `count` pictures and captions. Returns key, sizes and digests of each."""
    folder.mkdir()
    jobs = [(folder, range(start, min(start + 100, count))) for start in range(0, count, 100)]
    return [row for rows in pool.imap(_make, jobs) for row in rows]


def _make(job: tuple[Path, range]) -> list[dict[str, Any]]:
    folder, numbers = job
    return [dict(_written(folder, number)) for number in numbers]


def _written(folder: Path, number: int) -> Iterator[tuple[str, Any]]:
    key = f"p{number:06d}"
    yield "key", key
    for modality, extension, data in (("image", "jpg", picture(number)), ("text", "txt", caption(number))):
        (folder / f"{key}.{extension}").write_bytes(data)
        yield f"{modality}.size", len(data)
        yield f"{modality}.sha256", hashlib.sha256(data).hexdigest()
