"""Literal registries: kind → config class, implementation and version.

In: a dict of `Entry`. Out: pydantic fields that choose among its configs by `kind:` (or another tag), and the classes behind
them. Every kind may also be a dotted path of the user's own, `my_package.encoders:Mine`: a class with a nested pydantic
`Config`. Importing a registry never imports an implementation.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import inspect
import operator
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from tasks.errors import InputError


class Config(BaseModel):
    """Base of every config class: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


@dataclass(frozen=True)
class Entry:
    """One line of a registry."""

    config: type[BaseModel]
    target: str
    """`module:Name` of the implementation."""
    version: int = 1
    """Raised whenever the same inputs give other outputs."""


Registry = Mapping[str, Entry]


def load(target: str) -> Any:
    """Import `module:Name`. Raises InputError when either is missing."""
    module_name, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module_name), name)
    except ModuleNotFoundError as error:
        if error.name and not module_name.startswith(error.name):
            raise
        raise InputError(
            f"{target}: there is no module {module_name!r}; it is looked up beside the recipe and on the Python path"
        ) from error
    except AttributeError as error:
        raise InputError(f"{target}: the module {module_name!r} has no {name!r}") from error


def implementation(registry: Registry, kind: str) -> Any:
    """The class or function behind a kind."""
    return load(registry[kind].target if kind in registry else kind)


def identity(registry: Registry, kind: str) -> dict[str, Any]:
    """What stands in a step's key for a kind: our version number, or the digest of the user's source file."""
    if kind in registry:
        return {"kind": kind, "version": registry[kind].version}
    source = inspect.getsourcefile(load(kind))
    if source is None:
        raise InputError(f"{kind}: has no source file, so a change of it could not be noticed; put it into a .py file")
    return {"kind": kind, "source": hashlib.sha256(Path(source).read_bytes()).hexdigest()}


def closest(given: str, allowed: list[str]) -> str:
    """`; did you mean 'x'?` when something is close, else nothing."""
    match = get_close_matches(given, allowed, n=1, cutoff=0.6)
    return f"; did you mean {match[0]!r}?" if match else ""


@dataclass(frozen=True)
class KindOf:
    """Marks a config field as one of a registry: `encoder: Annotated[Any, KindOf(ENCODERS)]`."""

    registry: Registry
    tag: str = "kind"

    def __hash__(self) -> int:
        return id(self.registry)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        configs = [entry.config for entry in self.registry.values()]
        union: Any = configs[0]
        if len(configs) > 1:
            union = Annotated[functools.reduce(operator.or_, configs), Field(discriminator=self.tag)]
        return core_schema.no_info_wrap_validator_function(
            self._choose,
            handler.generate_schema(union),
            serialization=core_schema.plain_serializer_function_ser_schema(lambda value: value.model_dump(mode="json")),
        )

    def _choose(self, value: Any, validate: Any) -> Any:
        if isinstance(value, BaseModel):
            return value
        if isinstance(value, str):
            value = {self.tag: value}
        allowed = ", ".join(self.registry)
        if not isinstance(value, Mapping) or self.tag not in value:
            raise PydanticCustomError(
                "kind_missing",
                "needs `{tag}:`, one of {allowed}, or a dotted path `package.module:Class`",
                {"tag": self.tag, "allowed": allowed},
            )
        kind = value[self.tag]
        if isinstance(kind, str) and ":" in kind:
            return self._users_own(kind, value)
        if kind not in self.registry:
            hint = closest(str(kind), list(self.registry))
            raise PydanticCustomError(
                "kind_unknown",
                "{tag} {given} is not known; allowed: {allowed}, or a dotted path `package.module:Class`{hint}",
                {"tag": self.tag, "given": repr(kind), "allowed": allowed, "hint": hint},
            )
        return validate(value)

    def _users_own(self, kind: str, value: Mapping[str, Any]) -> Any:
        try:
            chosen = load(kind)
        except InputError as error:
            raise PydanticCustomError("kind_import", "{why}", {"why": str(error)}) from error
        config = getattr(chosen, "Config", None)
        if not (isinstance(config, type) and issubclass(config, BaseModel)):
            raise PydanticCustomError(
                "kind_config", "{kind} has no nested pydantic class `Config`, which says what it may be given", {"kind": kind}
            )
        if self.tag not in config.model_fields:
            raise PydanticCustomError(
                "kind_config",
                "{kind} has a `Config` without `{tag}`, by which it is found again; add `{tag}: str` there",
                {"kind": kind, "tag": self.tag},
            )
        return config.model_validate(dict(value))


def add_code_dir(folder: Path | None) -> None:
    """Make the user's own modules importable, after everything else so that none can hide one of ours."""
    if folder is not None and str(folder) not in sys.path:
        sys.path.append(str(folder))
