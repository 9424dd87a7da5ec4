"""A pydantic error → one sentence with file and line, what was given, what is allowed and the closest name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.json_schema import SkipJsonSchema
from pydantic_core import ErrorDetails

from pipeline.positions import Document, Path, Unset, dotted, holds_unset
from tasks.registry import KindOf, closest
from tasks.shards.settings import OfModalities


def validated(
    model: type[Any], data: Any, path: Path, document: Document, extra: Sequence[str] = (), *, partial: bool = False
) -> Any | None:
    """The config of `data`, or None with every problem in the document. Of `partial` data it is no problem that something is missing."""
    try:
        config = model.model_validate(data)
    except ValidationError as error:
        found = _of_their_own(error.errors(), model, data, extra, partial=partial)
        document.problems.extend(explain(problem, model, data, path, document, extra) for problem in found)
        return None
    except (AttributeError, LookupError, TypeError):
        if not holds_unset(data):
            raise
        return None  # a validator of the user's own met an `Unset`, which is told already
    return None if holds_unset(data) else config


def _of_their_own(
    problems: Sequence[ErrorDetails], model: type[BaseModel], data: Any, extra: Sequence[str], *, partial: bool
) -> Iterator[ErrorDetails]:
    """Problems that do not only follow from another one: from a variable that is not set, or a key that is misspelt and so missing."""
    misspelt = [
        (problem["loc"][:-1], *_unknown(problem["loc"], model, data, extra)) for problem in problems if problem["type"] == "extra_forbidden"
    ]
    for problem in problems:
        *parent, name = problem["loc"] or ("",)
        missing = problem["type"] in ("missing", "kind_missing")
        stood_for = problem["type"] == "missing" and any(
            place == tuple(parent) and meant(key, allowed, str(name)) for place, key, allowed in misspelt
        )
        emptied = problem["type"] == "too_short" and any(_inside(each["loc"], problem["loc"]) for each in problems)
        if not (_of_unset(problem) or stood_for or emptied or (missing and partial)):
            yield problem


def _inside(loc: tuple[int | str, ...], outer: tuple[int | str, ...]) -> bool:
    """Is a problem about an entry of the list that another one is about? Pydantic leaves bad entries out before it counts them."""
    return len(loc) > len(outer) and loc[: len(outer)] == outer


def _of_unset(problem: ErrorDetails) -> bool:
    given, tag = problem["input"], problem.get("ctx", {}).get("tag")
    return isinstance(given, Unset) or (isinstance(given, Mapping) and isinstance(given.get(tag), Unset))


def meant(key: str, allowed: Sequence[str], name: str) -> bool:
    """Is `name` what the misspelt `key` is taken for?"""
    return closest(key, list(allowed)) == closest(key, [name]) != ""


def _unknown(loc: tuple[int | str, ...], model: type[BaseModel], data: Any, extra: Sequence[str]) -> tuple[str, list[str]]:
    """A key that is not known, and what is allowed in its place."""
    inner, owner = _located(loc, model, data)
    return str(inner[-1]), [*_names(owner), *(extra if len(inner) == 1 else ())]


def explain(problem: ErrorDetails, model: type[BaseModel], data: Any, prefix: Path, document: Document, extra: Sequence[str]) -> str:
    """One line for a person. `extra` are keys allowed beside the model's own at the top."""
    kind = problem["type"]
    inner, owner = _located(problem["loc"], model, data, needed=kind == "missing")
    path = (*prefix, *inner)
    where = f"{document.at(path)}: {dotted(path)}"
    if kind == "extra_forbidden":
        key, allowed = _unknown(problem["loc"], model, data, extra)
        listed = f"allowed: {', '.join(allowed)}" if allowed else "nothing is allowed here"
        return f"{where}: unknown key {key!r}; {listed}{closest(key, allowed)}"
    if kind == "missing":
        about = _doc(owner, str(inner[-1]))
        return f"{where}: is missing{f' ({about})' if about else ''}"
    if kind.startswith("kind_"):
        return f"{where}: {problem['msg']}"
    message = problem["msg"]
    message = message.removeprefix("Value error, ")
    message = message.replace("a valid tuple", "a list")
    if message.startswith("Input should be"):
        message = f"needs to be{message.removeprefix('Input should be')}"
    given = problem["input"]
    if kind == "value_error" and isinstance(given, dict | list):
        return f"{where}: {message}"  # of a check over several settings, which names those that it is about
    hint = ""
    if kind in ("literal_error", "enum") and isinstance(given, str):
        hint = closest(given, str(problem.get("ctx", {}).get("expected", "")).replace("'", "").replace(" or ", ", ").split(", "))
    shown = repr(given) if not isinstance(given, dict | list) else f"a {'mapping' if isinstance(given, dict) else 'list'}"
    return f"{where}: {message}, given {shown}{hint}"


def _located(loc: tuple[int | str, ...], model: type[BaseModel], data: Any, *, needed: bool = False) -> tuple[Path, type[BaseModel] | None]:
    """The path in the user's data (pydantic adds the tags of unions) and the model that owns its last key.

    `needed`: that key is one that is missing, which a kind in place of a mapping (`said: ctc`) leaves out.
    """
    path: list[int | str] = []
    owner: type[BaseModel] | None = model
    candidates: list[type[BaseModel]] = [model]
    by_key: Mapping[str, type[BaseModel]] = {}
    for position, part in enumerate(loc):
        last = position == len(loc) - 1
        known = (isinstance(data, Mapping) and part in data) or (isinstance(data, list) and isinstance(part, int) and part < len(data))
        if not known and not last:
            candidates = [found for found in candidates if _tagged(found, part)] or candidates
            continue
        if not known and isinstance(data, str | int | float | bool) and not needed:
            continue
        path.append(part)
        if candidates:
            owner = candidates[0]
        if known:
            data = data[part]
            fields = [found.model_fields[str(part)] for found in candidates if str(part) in found.model_fields]
            if str(part) in by_key:
                candidates, by_key = [by_key[str(part)]], {}
            elif fields:
                candidates = list(_models((fields[0].annotation, *fields[0].metadata)))
                by_key = next((marker.configs() for marker in fields[0].metadata if isinstance(marker, OfModalities)), {})
    return tuple(path), owner


def _tagged(model: type[BaseModel], tag: int | str) -> bool:
    return any(tag in get_args(model.model_fields[name].annotation) for name in ("kind", "format") if name in model.model_fields)


def _models(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, KindOf):
        yield from (entry.config for entry in annotation.registry.values())
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    else:
        for part in annotation if isinstance(annotation, tuple) else get_args(annotation):
            yield from _models(part)


def _names(model: type[BaseModel] | None) -> list[str]:
    """Keys that a recipe may set: what is put in by Medley is not in the schema either."""
    fields = model.model_fields.items() if model else ()
    return [name for name, field in fields if not any(type(marker) is SkipJsonSchema for marker in field.metadata)]


def _doc(model: type[BaseModel] | None, name: str) -> str:
    described = model.model_fields[name].description if model and name in model.model_fields else None
    return described.splitlines()[0].rstrip(".") if described else ""
