"""What a submitted job brings along: Medley's code, the recipe and the user's own modules, in one zip.

In: folders and files by name. Out: a Package with the size of each part. The same files give the same bytes, so that a head that
still has a package is not sent it again. Data stay where they are. Must not import ray.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.errors import TooLarge

CODE = ("cluster", "pipeline", "tasks")
LIMIT_BYTES = 100 << 20
"""What a head takes in one upload (ray/_private/ray_constants.py, DASHBOARD_CLIENT_MAX_SIZE)."""
RECIPE = "recipe.yaml"
"""The recipe's name in the package, whatever it is called here."""


@dataclass(frozen=True)
class Package:
    """A zip, and what is in it."""

    data: bytes
    sizes: Mapping[str, int]
    """Name in the package → bytes before packing."""

    @property
    def name(self) -> str:
        """Under which a head keeps it; says what it holds."""
        return f"_ray_pkg_{hashlib.sha256(self.data).hexdigest()[:40]}.zip"

    @property
    def parts(self) -> dict[str, tuple[int, int]]:
        """`medley`, `recipe` and `yours` → files and bytes before packing."""
        found = {"medley": (0, 0), "recipe": (0, 0), "yours": (0, 0)}
        for name, size in self.sizes.items():
            files, total = found[self.part(name)]
            found[self.part(name)] = (files + 1, total + size)
        return found

    def part(self, name: str) -> str:
        """Whose a file is: `medley`, `recipe` or `yours`."""
        return "recipe" if name == RECIPE else "medley" if name.partition("/")[0] in CODE else "yours"


def pack(code_root: Path, recipe: Path, own: Mapping[str, Path], limit_bytes: int = LIMIT_BYTES) -> Package:
    """The three packages of `code_root`, the recipe, and `own` (name in the package → file). Raises TooLarge."""
    files = {RECIPE: recipe, **own}
    for package in CODE:
        files |= {path.relative_to(code_root).as_posix(): path for path in below(code_root / package)}
    sizes = {name: path.stat().st_size for name, path in sorted(files.items())}
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sizes:
            entry = zipfile.ZipInfo(name)  # without the file's own time, which would change the package and not the code
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, files[name].read_bytes())
            if written.tell() >= limit_bytes:
                raise TooLarge(_too_large(sizes, limit_bytes))
    return Package(written.getvalue(), sizes)


def below(folder: Path) -> Iterator[Path]:
    """Files of a folder, without hidden ones and caches."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.name == "__pycache__" or path.suffix == ".pyc":
            continue
        if path.is_dir():
            yield from below(path)
        elif path.is_file():
            yield path


def _too_large(sizes: Mapping[str, int], limit_bytes: int) -> str:
    largest = sorted(sizes.items(), key=lambda item: -item[1])[:5]
    listed = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in largest)
    return (
        f"the package is over the {limit_bytes / 1e6:.0f} MB that a head takes in one upload; the largest of {len(sizes)} files: {listed}. "
        "A package is for code: put data where the nodes see them, and name them in the recipe's `source:`"
    )
