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

    purpose: Literal["prepare", "fit", "read", "augment"]

    def configs(self) -> dict[str, type[BaseModel]]:
        """modality → config class; without those that know nothing of the purpose."""
        if self.purpose == "augment":
            return {name: entry.augment.config for name, entry in MODALITIES.items() if entry.augment is not None}
        return {name: getattr(entry, self.purpose) for name, entry in MODALITIES.items()}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self._choose, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        described = {name: handler(config.__pydantic_core_schema__) for name, config in self.configs().items()}
        properties = {name: handler.resolve_ref_schema(each) for name, each in described.items()}
        return {"type": "object", "properties": properties, "additionalProperties": False}

    def _choose(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        configs = self.configs()
        for name in value:
            if name not in configs:
                what = f"has no `{self.purpose}`" if name in MODALITIES else "is not a modality"
                facts = {"given": repr(name), "what": what, "allowed": ", ".join(configs), "hint": closest(str(name), list(configs))}
                raise PydanticCustomError("modality_unknown", "{given} {what}; allowed: {allowed}{hint}", facts)
        classes: dict[str, Any] = {name: (configs[name], ...) for name in value}
        model = create_model(self.purpose, __config__=ConfigDict(extra="forbid"), **classes)
        chosen: BaseModel = model.model_validate({name: {} if given is None else given for name, given in value.items()})
        return {name: getattr(chosen, name) for name in sorted(value)}
