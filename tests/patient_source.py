"""A source of somebody's own that lasts until it may go on: tests copy this file beside their recipes as `patient_source.py`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tasks.contracts import Locator, SourceRecord
from tasks.errors import Stopped
from tasks.registry import Config as Base


class Patient:
    """Gives its records once the file `go` is there; ends when the run is asked to stop. `times` has a line for each time it was read."""

    class Config(Base):
        format: str

    def __init__(self, config: Config, base_dir: Path) -> None:
        self.base_dir = base_dir

    def snapshot(self) -> dict[str, Any]:
        return {"digest": "always the same"}

    def records(self, output_dir: Path) -> Iterator[SourceRecord]:
        with (self.base_dir / "times").open("a") as file:
            file.write("made\n")
        while not (self.base_dir / "go").exists():
            if list((self.base_dir / "store" / "runs").glob("*/stop")):
                time.sleep(4)  # longer than Ray lets a stopped job live unless it is told to
                raise Stopped("asked to stop while it waited")
            time.sleep(0.05)
        for number in range(6):
            text = f"text {number} {os.environ.get('TOY_VARIABLE', '')} {'_ray_pkg_' in __file__}"
            yield SourceRecord(f"sample{number}", {"text": Locator(inline=text.encode())}, {"label": "ab"[number % 2]})
