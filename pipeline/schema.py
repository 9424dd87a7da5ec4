"""The recipe's JSON Schema, put together from the config classes of the catalog."""

from __future__ import annotations

from typing import Any

from pipeline.catalog import CATALOG, Input, Task
from pipeline.matrix import MAX_VARIANTS
from pipeline.recipe import Header, ResourcesConfig
from tasks.shards.shares import Share


def recipe_schema() -> dict[str, Any]:
    """Draft 2020-12. One alternative a task; every `kind:` lists ours, and the text of a field says what it means."""
    definitions: dict[str, Any] = {}
    header = _inlined(Header, definitions)
    resources = _inlined(ResourcesConfig, definitions)
    steps = []
    for name, task in CATALOG.items():
        config = _inlined(task.config_class(), definitions)
        inputs = {key: _edge(edge) for key, edge in task.inputs.items()}
        required = ["task", *(key for key, edge in task.inputs.items() if not edge.optional), *config.get("required", [])]
        properties = {"task": {"const": name}, **inputs, "resources": resources, **_matrix(task), **config.get("properties", {})}
        steps.append({"type": "object", "title": name, "properties": properties, "required": required, "additionalProperties": False})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Medley recipe",
        "type": "object",
        "properties": {**header["properties"], "steps": {"type": "object", "minProperties": 1, "additionalProperties": {"oneOf": steps}}},
        "required": ["name", "steps"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def _edge(edge: Input) -> dict[str, Any]:
    step = {"type": "string", "description": _described(edge)}
    if not edge.mixture:
        return step
    share = _inlined(Share, {})["properties"]
    entry = {"type": "object", "properties": {"from": step, **share}, "required": ["from"], "additionalProperties": False}
    about = f"{step['description']}; or a list of them, all with a `weight` or all with `epochs`"
    return {"description": about, "anyOf": [{"type": "string"}, {"type": "array", "minItems": 1, "items": entry}]}


def _described(edge: Input) -> str:
    if edge.family:
        return "a step that is a family: one with `matrix:`, or one that takes from such a step"
    return f"a step that makes a {edge.kind}" + (", or models:/NAME@ALIAS" if edge.reference else "")


def _matrix(task: Task) -> dict[str, Any]:
    if not task.maps:
        return {}
    axes = {"type": "object", "minProperties": 1, "additionalProperties": {"type": "array", "minItems": 1}}
    listed = {"type": "array", "minItems": 1, "maxItems": MAX_VARIANTS, "items": {"type": "object"}}
    about = "makes a family of the step: dotted path in its config → values, of which every combination is a variant; or a list of variants"
    return {"matrix": {"description": about, "anyOf": [axes, listed]}}


def _inlined(model: Any, definitions: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = model.model_json_schema()
    definitions.update(schema.pop("$defs", {}))
    return schema
