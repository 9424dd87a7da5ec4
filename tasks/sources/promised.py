"""What a source promises of its records before it is read. In: its config. Out: names."""

from __future__ import annotations

from typing import Any


def promised_labels(source: Any) -> list[str] | None:
    """The labels that a source of ours gives its records; None where only the data can tell."""
    if getattr(source, "format", None) not in ("folder", "table", "webdataset"):
        return None
    label = getattr(source, "label", None)
    return [*getattr(source, "labels", ()), *([label] if label else [])]
