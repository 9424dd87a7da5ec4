"""The installed `medley` and the demo recipe, as benchmarks start them."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RECIPE = ROOT / "examples" / "digits" / "recipe.yaml"


def medley() -> str:
    """Path of the console script in this Python's own environment, so that what is timed is what a person types."""
    script = shutil.which("medley", path=str(Path(sys.executable).parent))
    if script is None:
        raise RuntimeError(
            f"medley is not installed beside {sys.executable}; run `make setup`, or `pip install --editable .` in this environment"
        )
    return script
