"""The README's tree, from the first sentence of each module: `python docs/tree.py` writes it, `--check` compares.

In: the sources. Out: the block between the markers in README.md. A test runs the comparison, so that the tree stays true.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("pipeline", "tasks", "cluster")
BEGIN, END = "<!-- tree: written by docs/tree.py -->", "<!-- end of tree -->"


def tree() -> str:
    """One line a file, folder by folder."""
    lines = ["```text"]
    for package in PACKAGES:
        for folder in sorted({path.parent for path in (ROOT / package).rglob("*.py")}):
            modules = [path for path in sorted(folder.glob("*.py")) if path.name != "__init__.py"]
            about = sentence(folder / "__init__.py")
            lines.append(f"{folder.relative_to(ROOT).as_posix()}/{f'   {about}' if about else ''}")
            width = max((len(path.name) for path in modules), default=0)
            lines += [f"  {path.name:<{width}}  {sentence(path)}" for path in modules]
    return "\n".join([*lines, "```"])


def sentence(path: Path) -> str:
    """The first sentence of a module's docstring."""
    first = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n\n")[0].replace("\n", " ")
    return re.split(r"(?<=[.?]) (?=[A-Z])", first)[0]


def main() -> int:
    """Write the tree, or say whether it is as it should be."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    wanted = f"{before}{BEGIN}\n\n{tree()}\n\n{END}{after}"
    if "--check" in sys.argv[1:]:
        return int(text != wanted)
    readme.write_text(wanted, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
