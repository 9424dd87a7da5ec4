"""A file for Ray's cluster launcher → what it would start, and Medley's own settings in it.

In: a YAML file that `ray up` takes. Out: a frozen `ClusterFile`, or one ClusterFileError with what is wrong. Ray's own validator has the
last word on all but `metadata.medley`, which Ray leaves alone. Starts nothing; knows neither recipes nor tasks.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cluster.errors import ClusterFileError

Where = Sequence[str | int]


class ClusterSettings(BaseModel):
    """`metadata.medley`: what a run on this cluster is to be given. Ray keeps `metadata` and does not read it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    store: str = Field(default="", pattern=r"^(/.*|(s3|gs|az)://[^/?#@\s]+(/[^?#@\s]*)?)?$")
    """Folder that every node mounts at this path, or s3://BUCKET/PREFIX (gs://, az://); goes to `--store`. Empty = the recipe says."""
    tracking: str = ""
    """MLflow server as the nodes reach it; goes to the recipe's `tracking:`. sqlite serves one machine only. Empty = the recipe says."""
    address: str = Field(default="", pattern=r"^(https?://.+)?$")
    """Ray's job server as this machine reaches it; goes to `medley submit --address`. Empty = give it there."""
    auth: Literal["token", "none"] = "none"
    """`token`: nodes talk only to those who show the token of ~/.ray/auth_token. `none`: to everyone who reaches their ports."""


@dataclass(frozen=True)
class NodeType:
    """Machines of one kind."""

    name: str
    head: bool
    at_least: int
    """Of these there are always this many."""
    at_most: int
    resources: Mapping[str, int]
    """What the file says they have; empty = Ray looks."""
    machine: str
    """The provider's name for the kind, or the addresses."""


@dataclass(frozen=True)
class ClusterFile:
    """What a cluster file says."""

    path: Path
    name: str
    provider: str
    nodes: tuple[NodeType, ...]
    """The head first."""
    max_workers: int
    """Nodes beside the head, of all kinds together."""
    settings: ClusterSettings
    data: Mapping[str, Any]
    """The file as it was written."""
    root: yaml.Node | None

    def at(self, *where: str | int) -> str:
        """`file:line` of a place in the file."""
        return _at(self.path, self.root, where)


def read(path: Path) -> ClusterFile:
    """Read and check a cluster file. ClusterFileError with every problem found."""
    data, root = _parsed(path)
    problems: list[str] = []
    settings = _settings(path, data, root, problems)
    prepared = _prepared(path, data, root, problems)
    if problems or settings is None:
        raise ClusterFileError(*problems)
    nodes = tuple(sorted(_nodes(data, prepared), key=lambda node: not node.head))
    return ClusterFile(path, str(data["cluster_name"]), data["provider"]["type"], nodes, int(prepared["max_workers"]), settings, data, root)


def _parsed(path: Path) -> tuple[dict[str, Any], yaml.Node | None]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ClusterFileError(
            f"{path}: the cluster file cannot be read ({reason}); give the path of a file such as ray_cluster.yaml"
        ) from error
    try:
        data, root = yaml.safe_load(text), yaml.compose(text, yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise ClusterFileError(f"{path}:{line}: not valid YAML: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ClusterFileError(f"{path}: not valid YAML: {error}") from error
    missing = [key for key in ("cluster_name", "provider") if not isinstance(data, dict) or not data.get(key)]
    if missing:
        raise ClusterFileError(
            f"{path}: has no {' and no '.join(f'`{key}:`' for key in missing)}; a cluster file is what `ray up` takes, see ray_cluster.yaml"
        )
    if not isinstance(data["provider"], dict) or not isinstance(data["provider"].get("type"), str):
        raise ClusterFileError(f"{_at(path, root, ['provider'])}: provider: needs `type:`, such as aws, or local for machines of your own")
    return data, root


def _settings(path: Path, data: Mapping[str, Any], root: yaml.Node | None, problems: list[str]) -> ClusterSettings | None:
    metadata = data.get("metadata")
    given = metadata.get("medley") if isinstance(metadata, Mapping) else None
    try:
        return ClusterSettings.model_validate({} if given is None else given)
    except ValidationError as error:
        problems.extend(_settings_problem(path, root, problem) for problem in error.errors())
        return None


def _settings_problem(path: Path, root: yaml.Node | None, problem: Any) -> str:
    where = ("metadata", "medley", *problem["loc"])
    place = f"{_at(path, root, where)}: {_dotted(where)}"
    fields = ClusterSettings.model_fields
    if problem["type"] == "extra_forbidden":
        key = str(problem["loc"][-1])
        return f"{place}: unknown key {key!r}; allowed: {', '.join(fields)}{_closest(key, list(fields))}"
    shown = repr(problem["input"]) if not isinstance(problem["input"], Mapping | list) else f"a {type(problem['input']).__name__}"
    if not problem["loc"]:
        return f"{place}: needs a mapping with {', '.join(fields)}, given {shown}"
    about = (fields[str(problem["loc"][0])].description or "").splitlines()[0]
    allowed = str(problem.get("ctx", {}).get("expected", "")).replace("'", "").replace(" or ", ", ").split(", ")
    hint = _closest(str(problem["input"]), allowed) if problem["type"] == "literal_error" else ""
    return f"{place}: given {shown}, allowed is: {about}{hint}"


def _prepared(path: Path, data: Mapping[str, Any], root: yaml.Node | None, problems: list[str]) -> Mapping[str, Any]:
    """The file with Ray's defaults filled in, judged by Ray's validator. What it says against the file goes to `problems`."""
    import click
    import jsonschema  # type: ignore[import-untyped]
    from ray.autoscaler._private.providers import _NODE_PROVIDERS
    from ray.autoscaler._private.util import prepare_config, validate_config

    logging.getLogger("ray").setLevel(logging.ERROR)
    provider = data["provider"]["type"]
    if provider not in _NODE_PROVIDERS:
        allowed = sorted(_NODE_PROVIDERS)
        at = _at(path, root, ["provider", "type"])
        problems.append(
            f"{at}: provider.type: {provider!r} is not known to Ray; allowed: {', '.join(allowed)}{_closest(provider, allowed)}"
        )
        return {}
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):  # Ray says it there as well
            prepared: dict[str, Any] = prepare_config(_with_resources(data))
            validate_config(prepared)
    except jsonschema.ValidationError as error:
        where = list(error.absolute_path)
        place = f"{_at(path, root, where)}: {_dotted(where)}: " if where else f"{path}: "
        problems.append(f"{place}Ray says: {error.message}{_unknown_key(error)}")
    except click.ClickException as error:
        problems.append(f"{path}: Ray says: {error.message}")
    except (ValueError, RuntimeError, KeyError, TypeError, AttributeError, AssertionError, NotImplementedError) as error:
        problems.append(f"{path}: Ray cannot use it: {type(error).__name__}: {error}; compare it with ray_cluster.yaml")
    else:
        return prepared
    return {}


def _with_resources(data: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which every node type has `resources`: for some providers Ray looks them up, which takes their SDK and an account."""
    types = data.get("available_node_types")
    copied = dict(data)
    if isinstance(types, Mapping):
        copied["available_node_types"] = {
            name: {"resources": {}, **value} if isinstance(value, Mapping) else value for name, value in types.items()
        }
    return copied


def _unknown_key(error: Any) -> str:
    """What is allowed where Ray found a key it does not know."""
    if error.validator != "additionalProperties" or not isinstance(error.instance, Mapping):
        return ""
    allowed = sorted(error.schema.get("properties", {}))
    unknown = [key for key in error.instance if key not in allowed]
    hint = next(filter(None, (_closest(str(key), allowed) for key in unknown)), "")
    return f"; allowed: {', '.join(allowed)}{hint}; settings of your own go below `metadata:`"


def _nodes(data: Mapping[str, Any], prepared: Mapping[str, Any]) -> Iterator[NodeType]:
    provider = data["provider"]
    if provider["type"] == "local":
        workers = provider.get("worker_ips") or []
        yield NodeType("head", True, 1, 1, {}, str(provider.get("head_ip") or provider.get("coordinator_address")))
        (kind,) = prepared["available_node_types"].values()
        yield NodeType("workers", False, kind["min_workers"], kind["max_workers"], {}, ", ".join(map(str, workers)))
        return
    for name, kind in prepared["available_node_types"].items():
        head = name == prepared["head_node_type"]
        config = kind.get("node_config") or {}
        machine = next((str(config[key]) for key in ("InstanceType", "machineType", "azure_arm_parameters") if config.get(key)), "")
        at_least, at_most = (1, 1) if head else (kind["min_workers"], min(kind["max_workers"], prepared["max_workers"]))
        yield NodeType(name, head, at_least, at_most, kind.get("resources") or {}, machine)


def _at(path: Path, root: yaml.Node | None, where: Where) -> str:
    """`file:line` of the deepest known part of a place."""
    node, line = root, 0
    for part in where:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == str(part)), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    shown = os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)
    return f"{shown}:{line}" if line else shown


def _dotted(where: Where) -> str:
    return ".".join(map(str, where))


def _closest(given: str, allowed: Sequence[str]) -> str:
    match = get_close_matches(given, allowed, n=1, cutoff=0.6)
    return f"; did you mean {match[0]!r}?" if match else ""
