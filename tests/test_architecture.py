"""The shape of the code, checked over whatever modules are there: arrows, cycles, light imports, file sizes, errors that travel."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

from pipeline.catalog import CATALOG

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("pipeline", "tasks", "cluster")
MODULES = sorted(path.relative_to(ROOT) for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
TOOLS = sorted(path.relative_to(ROOT) for folder in ("benchmarks", "examples") for path in (ROOT / folder).rglob("*.py"))
HEAVY = ("ray", "torch", "mlflow", "pyarrow", "numpy", "PIL", "pandas", "sklearn", "scipy")
MAX_LINES = 300
STEPS = {task.config.partition(":")[0] for task in CATALOG.values()}


def name_of(path: Path) -> str:
    return ".".join(path.with_suffix("").parts).removesuffix(".__init__")


def is_light(path: Path) -> bool:
    """Modules that `medley --help`, `plan` and a cached run import, or may: the command line, the recipe, step modules, configs."""
    in_cli = path.parts[:2] == ("pipeline", "cli")
    described = path.name in ("config.py", "__init__.py", "errors.py", "__main__.py")
    planning = path.parts[0] == "pipeline" and path.stem in ("catalog", "recipe", "graph", "plan", "store", "journal")
    return in_cli or described or planning or name_of(path) in STEPS


LIGHT = [name_of(path) for path in MODULES if is_light(path)]


def tree(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=str(path))


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(*PACKAGES, exclude_type_checking_imports=True, cache_dir=None)


def test_the_import_contracts_of_pyproject_hold() -> None:
    command = [
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True, no_logo=True))",
    ]
    outcome = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr


def test_no_modules_import_each_other_in_a_circle(graph: grimp.ImportGraph) -> None:
    sorter = TopologicalSorter({module: graph.find_modules_directly_imported_by(module) for module in graph.modules})
    try:
        sorter.prepare()
    except CycleError as error:
        pytest.fail("import cycle: " + " → ".join(reversed(error.args[1])))


IMPORT_ALL = """
import importlib, json, logging, os, signal, sys, threading
heavy = set(sys.argv[1].split(","))
found, environment, folder = {}, dict(os.environ), os.getcwd()
handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
for name in sys.argv[2].split(","):
    before, path = set(sys.modules), list(sys.path)
    importlib.import_module(name)
    effects = sorted(heavy & (set(sys.modules) - before))
    effects += ["sys.path"] * (path != sys.path) + ["os.environ"] * (environment != dict(os.environ))
    effects += ["a thread"] * (threading.active_count() > 1) + ["log handlers"] * bool(logging.getLogger().handlers)
    effects += ["signal handlers"] * (handlers != [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)])
    effects += ["the working folder"] * (folder != os.getcwd())
    if effects:
        found[name] = effects
print(json.dumps(found))
"""


def test_what_the_command_line_and_the_planner_import_is_light_and_has_no_side_effect(tmp_path: Path) -> None:
    """One process imports them all in turn; a heavy library is blamed on the first module that brought it in."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", IMPORT_ALL, ",".join(HEAVY), ",".join(LIGHT)]
    outcome = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert outcome.returncode == 0, outcome.stderr
    assert json.loads(outcome.stdout) == {}, "module → what importing it brought in or changed"
    assert not list(tmp_path.iterdir()), "importing wrote files into the working folder"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_runs_nothing_when_it_is_imported(path: Path) -> None:
    """At the top of a file stand imports, definitions and assignments; no call for its effect, no loop, no `with`."""
    effects = [node.lineno for node in tree(path).body if not allowed_at_the_top(node) and not hands_its_model_to_mlflow(path, node)]
    assert not effects, f"{path}: statements at lines {effects} run on import"


def allowed_at_the_top(node: ast.stmt) -> bool:
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)
    if isinstance(node, ast.If):
        return "TYPE_CHECKING" in ast.dump(node.test) or "__main__" in ast.dump(node.test) or "version_info" in ast.dump(node.test)
    definitions = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Assign, ast.AnnAssign)
    return isinstance(node, definitions)


def hands_its_model_to_mlflow(path: Path, node: ast.stmt) -> bool:
    """The one exception: a model logged as code is a file that MLflow runs, and it must end in `set_model`."""
    return path.parts[:2] == ("tasks", "tracking") and ast.unparse(node).startswith("mlflow.models.set_model(")


@pytest.mark.parametrize("path", [path for path in MODULES if path.name == "__init__.py"], ids=str)
def test_an_init_file_lists_names_and_holds_no_logic(path: Path) -> None:
    defined = [node.name for node in tree(path).body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    assert set(defined) <= {"__getattr__", "__dir__"}, f"{path} defines {defined}; give them a file named after what it holds"


@pytest.mark.parametrize("path", [path for path in MODULES if path.parts[:2] != ("pipeline", "cli")], ids=str)
def test_nothing_but_the_command_line_prints(path: Path) -> None:
    prints = [node.lineno for node in ast.walk(tree(path)) if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"]
    assert not prints, f"{path}: print at lines {prints}; use the sink, logging, or a verb of pipeline/cli"


@pytest.mark.parametrize("path", MODULES + TOOLS, ids=str)
def test_a_file_is_short_and_named_after_what_it_holds(path: Path) -> None:
    lines = (ROOT / path).read_text(encoding="utf-8").count("\n")
    assert lines <= MAX_LINES, f"{path} has {lines} lines, over {MAX_LINES}: a second idea has moved in; give it a file"
    assert path.stem not in ("utils", "util", "common", "helpers", "helper", "misc"), f"{path}: name it after the noun it holds"


@pytest.mark.parametrize("path", [path for path in MODULES if (ROOT / path).stat().st_size], ids=str)
def test_a_module_opens_with_its_place_in_the_flow(path: Path) -> None:
    assert ast.get_docstring(tree(path)), f"{path} has no docstring at its top"


ERROR_FILES = [path for path in MODULES if path.name == "errors.py"]


def error_classes() -> Iterator[type[Exception]]:
    for path in ERROR_FILES:
        module = importlib.import_module(name_of(path))
        yield from (
            value
            for value in vars(module).values()
            if isinstance(value, type) and issubclass(value, Exception) and value.__module__ == module.__name__
        )


def arguments(error: type[Exception]) -> list[str]:
    """A string for each positional parameter, two for `*args`: what every error class must take."""
    if error.__init__ is Exception.__init__:
        return ["what was given"]
    parameters = list(inspect.signature(error.__init__).parameters.values())[1:]
    return [f"{parameter.name} {n}" for parameter in parameters for n in range(2 if parameter.kind is parameter.VAR_POSITIONAL else 1)]


@pytest.mark.parametrize("error", list(error_classes()), ids=lambda error: f"{error.__module__}.{error.__name__}")
def test_an_error_survives_the_way_between_processes(error: type[Exception]) -> None:
    raised = error(*arguments(error))
    raised.add_note("step model failed")
    arrived = pickle.loads(pickle.dumps(raised))
    assert type(arrived) is error
    assert (str(arrived), arrived.args, vars(arrived)) == (str(raised), raised.args, vars(raised))
    assert "what was given" in str(arrived) or all(argument in str(arrived) for argument in arguments(error))


@pytest.mark.parametrize("path", ERROR_FILES, ids=str)
def test_the_tree_drawn_above_the_errors_names_every_class(path: Path) -> None:
    drawn = (ast.get_docstring(tree(path)) or "").split()
    missing = [node.name for node in tree(path).body if isinstance(node, ast.ClassDef) and node.name not in drawn]
    assert not missing, f"{path}: {missing} are not in the tree of the docstring"


@pytest.mark.parametrize("path", [path for path in MODULES if path.name != "errors.py"], ids=str)
def test_errors_are_defined_in_the_errors_file_of_their_package(path: Path) -> None:
    classes = [node for node in ast.walk(tree(path)) if isinstance(node, ast.ClassDef)]
    errors = [node.name for node in classes if any(ast.unparse(base).endswith(("Error", "Exception")) for base in node.bases)]
    assert not errors, f"{path} defines {errors}; move them to {path.parts[0]}/errors.py"
