"""Judge the skips of a test run: `python .ci/skips.py REPORT.xml`, a pytest junit report.

A test may be skipped only for what this machine cannot be given: a data set that isn't here, a GPU that isn't there. All else could
have been installed, so it fails the run. Every skip is printed. Exit code 0: all are allowed; 1: one is not; 2: no test ran.
"""

from __future__ import annotations

import re
import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

SHARED = Path(__file__).resolve().parent.parent.parent / "shared"
ALLOWED = (
    (re.compile(r"fsdd\.zip", re.IGNORECASE), not (SHARED / "data" / "fsdd.zip").exists()),
    (re.compile(r"kuberay-crds"), not (SHARED / "data" / "kuberay-crds").exists()),
    (re.compile(r"\b(GPU|CUDA)\b", re.IGNORECASE), shutil.which("nvidia-smi") is None),
)
"""Reason, and whether it holds here: a skip for a file that is there is a fault as well."""


def is_allowed(reason: str) -> bool:
    return any(holds and pattern.search(reason) for pattern, holds in ALLOWED)


def main(report: Path) -> int:
    cases = list(ET.parse(report).iter("testcase")) if report.exists() else []  # noqa: S314  our own pytest wrote it
    skipped = [
        (f"{case.get('classname')}::{case.get('name')}", skip.get("message") or "") for case in cases for skip in case.iter("skipped")
    ]
    for test, reason in skipped:
        print(f"{'skipped' if is_allowed(reason) else 'SKIP NOT ALLOWED'}: {test}: {reason}")  # noqa: T201
    if len(cases) == len(skipped):
        print(f"no test ran, by {report}", file=sys.stderr)  # noqa: T201
        return 2
    return 0 if all(is_allowed(reason) for _, reason in skipped) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
