"""Small corpora for `init`, as people lay them out."""

from __future__ import annotations

import csv
import io
import json
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image


def picture(shade: int, size: tuple[int, int] = (20, 12), mode: str = "RGB") -> bytes:
    """A PNG of one colour."""
    buffer = io.BytesIO()
    Image.new(mode, size, shade if mode == "L" else (shade % 256, 255 - shade % 256, shade * 7 % 256)).save(buffer, "PNG")
    return buffer.getvalue()


def sound(number: int, rate_hz: int = 8000, seconds: float = 0.25) -> bytes:
    """A mono 16-bit WAV."""
    data = struct.pack(f"<{int(rate_hz * seconds)}h", *((step * (number + 3) * 97) % 8000 - 4000 for step in range(int(rate_hz * seconds))))
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(data), b"WAVE", b"fmt ", 16, 1, 1, rate_hz, rate_hz * 2, 2, 16, b"data", len(data)
    )
    return head + data


def put(root: Path, **files: bytes | str) -> None:
    """Files by path, `__` for `/` and the last `_` for the dot before the extension."""
    for name, content in files.items():
        stem, _, extension = name.replace("__", "/").rpartition("_")
        path = root / f"{stem}.{extension}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def classes(root: Path, names: Sequence[str] = ("cat", "dog"), number: int = 20, *, prefix: str = "") -> Path:
    """A folder a class; each sample a picture, a caption and a sound."""
    for place, name in enumerate(names):
        for sample in range(number):
            at = f"{prefix}{name}__{sample:02}"
            put(
                root,
                **{
                    f"{at}_png": picture(100 * place + sample),
                    f"{at}_txt": f"it is a {name} {sample}",
                    f"{at}_wav": sound(100 * place + sample),
                },
            )
    return root


def table(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """CSV or JSONL, by the path's extension."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return path
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def spoken(root: Path, number: int = 40) -> list[dict[str, Any]]:
    """Rows of a table about pictures below `root`, with everything a table may say."""
    rows = []
    for sample in range(number):
        put(root, **{f"media__{sample:02}_png": picture(sample, mode="L")})
        rows.append(
            {
                "sample_id": f"s{sample}",
                "picture": f"media/{sample:02}.png",
                "caption": f"a long caption number {sample} here",
                "species": ("owl", "fox", "elk")[sample % 3],
                "price": sample * 1.5,
                "speaker": f"p{sample % 7}",
                "remark": f"r{sample}",
            }
        )
    return rows
