"""Config fields that hold one config for each modality.

In: `{image: {max_side: 64}, text: {}}`. Out: a dict of the classes that `tasks.modalities.MODALITIES` names. Imports nothing heavy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler, create_model
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from tasks.modalities import MODALITIES
from tasks.registry import closest


@dataclass(frozen=True)
class OfModalities:
    """Marks a field as modality → its config of one purpose: `Annotated[dict[str, Any], OfModalities("prepare")]`."""

    purpose: Literal["prepare", "fit", "read"]

    def configs(self) -> dict[str, type[BaseModel]]:
        """modality → config class."""
        return {name: getattr(entry, self.purpose) for name, entry in MODALITIES.items()}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._choose, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        properties = {name: config.model_json_schema() for name, config in self.configs().items()}
        return {"type": "object", "properties": properties, "additionalProperties": False}

    def _choose(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        for name in value:
            if name not in MODALITIES:
                facts = {"given": repr(name), "allowed": ", ".join(MODALITIES), "hint": closest(str(name), list(MODALITIES))}
                raise PydanticCustomError("modality_unknown", "{given} is not a modality; allowed: {allowed}{hint}", facts)
        classes: dict[str, Any] = {name: (self.configs()[name], ...) for name in value}
        model = create_model(self.purpose, __config__=ConfigDict(extra="forbid"), **classes)
        chosen: BaseModel = model.model_validate({name: {} if given is None else given for name, given in value.items()})
        return {name: getattr(chosen, name) for name in sorted(value)}
