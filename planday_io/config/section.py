"""What all mappings of `portals.yaml` have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from planday_io.config.values import nearest, refuse


class Section(BaseModel):
    """A mapping of the file. Types are strict (`"5"` is not a number) and unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:  # noqa: ANN401 - this is where outside data comes in
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    hint = nearest(str(key), cls.model_fields) or f"; known keys are {', '.join(cls.model_fields)}"
                    raise refuse(f"a known key{hint}", key=str(key))
        return data
