"""What is installed: the wheel holds all the packages need and nothing else, and the lock is the whole closure without hosts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
PINS = [line for line in LOCK if line and not line.startswith("#")]
PACKAGES = ("pipeline", "tasks", "cluster")


def shipped() -> set[str]:
    """Every file below the three packages that is not made by running them."""
    files = (path for package in PACKAGES for path in (ROOT / package).rglob("*") if path.is_file())
    return {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}


def test_pyproject_lists_every_package_by_name() -> None:
    there = {Path(name).parent.as_posix().replace("/", ".") for name in shipped() if name.endswith("/__init__.py")}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == there


def test_every_folder_with_python_files_is_a_package() -> None:
    folders = {Path(name).parent for name in shipped() if name.endswith(".py")}
    assert not [folder for folder in folders if not (ROOT / folder / "__init__.py").exists()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """A wheel built from a copy of the sources, with the setuptools at hand and no network."""
    copy = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", "dist", "."]
    outcome = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    (built,) = (copy / "dist").iterdir()
    return zipfile.ZipFile(built)


def test_the_wheel_holds_every_file_of_the_three_packages_and_no_other(wheel: zipfile.ZipFile) -> None:
    inside = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert inside == shipped(), "a file that is no .py needs a line in [tool.setuptools.package-data]"
    assert {f"{package}/py.typed" for package in PACKAGES} <= inside


def test_the_wheel_brings_the_medley_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    (info,) = {name.split("/")[0] for name in wheel.namelist() if ".dist-info/" in name}
    assert "medley = pipeline.__main__:main" in wheel.read(f"{info}/entry_points.txt").decode()
    assert wheel.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
    assert info == f"medley_pipeline-{PROJECT['project']['version']}.dist-info"


def test_the_lock_is_names_and_versions_alone() -> None:
    pin = re.compile(r'[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.!]*( ; sys_platform == "linux")?')
    assert not [line for line in PINS if not pin.fullmatch(line)], "no hosts, no files, no local versions such as +cpu"
    assert sorted(PINS, key=str.upper) == PINS
    assert all(line.startswith("# ") for line in LOCK if line not in PINS)


def test_the_lock_pins_all_that_the_project_and_its_tools_need() -> None:
    """The closure is walked over what is installed here, so it is exact for this Python and platform."""
    pinned = {canonicalize_name(Requirement(line).name) for line in PINS}
    project = PROJECT["project"]
    assert closure([*project["dependencies"], *project["optional-dependencies"]["dev"]]) - pinned == set()


def closure(requirements: list[str]) -> set[str]:
    waiting = [Requirement(text) for text in requirements]
    seen: set[tuple[str, str]] = set()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) not in seen:
                seen.add((name, extra))
                needed = (Requirement(text) for text in metadata.requires(name) or [])
                waiting += [inner for inner in needed if inner.marker is None or inner.marker.evaluate({"extra": extra})]
    return {name for name, _ in seen}


def test_the_pinned_versions_satisfy_pyproject() -> None:
    pinned = {canonicalize_name(pin.name): str(pin.specifier).removeprefix("==") for pin in map(Requirement, PINS)}
    project = PROJECT["project"]
    for requirement in map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["dev"]]):
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} does not admit the pinned {version}"


def test_the_changelog_tells_of_the_version_in_pyproject() -> None:
    assert f"## [{PROJECT['project']['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_makefile_lists_every_target_with_what_it_does() -> None:
    outcome = subprocess.run(["make", "-s", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = {line.split()[1] for line in outcome.stdout.splitlines()}
    assert listed >= {"help", "setup", "demo", "test", "lint", "check", "bench", "chaos"}
