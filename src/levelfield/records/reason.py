"""Why there is no answer, or a lesser one: a code with fields, whose sentence is written where it is shown.

A function that may have no answer returns ``X | Reason``; what it must be known beside an answer is a tuple of reasons.
No program reads a sentence back: it asks for the class, ``isinstance(found, FewBudgets)``, and for its fields.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable
from typing import Any, ClassVar

_KNOWN: dict[str, type[Coded]] = {}


class Coded:
    """A record that says which of many it is by ``code``, the name of its class: FewBudgets is "few-budgets".

    Its plain form (see codec.py) holds the code beside the fields, and is read back by it.
    """

    code: ClassVar[str] = ""

    def __init_subclass__(cls) -> None:
        cls.code = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", cls.__name__).lower()
        _KNOWN[cls.code] = cls

    def __str__(self) -> str:
        """The code and its fields, for a log or a debugger; readers are shown report/words."""
        fields = dataclasses.fields(self) if dataclasses.is_dataclass(self) else ()
        said = ", ".join(f"{field.name} {getattr(self, field.name)}" for field in fields)
        return f"{self.code} ({said})" if said else self.code

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Callable[[Any], Any]) -> Any:
        if dataclasses.is_dataclass(cls):
            return handler(source)
        from pydantic_core import core_schema

        return core_schema.no_info_after_validator_function(cls._of_plain, core_schema.dict_schema())

    @classmethod
    def _of_plain(cls, plain: dict[str, Any]) -> Any:
        from pydantic import TypeAdapter

        kind = _KNOWN.get(plain.get("code", ""))
        if kind is None or not (issubclass(kind, cls) and dataclasses.is_dataclass(kind)):
            raise ValueError(f"no {cls.__name__.lower()} has the code {plain.get('code')!r}")
        fields = {name: value for name, value in plain.items() if name != "code"}
        return TypeAdapter(kind).validate_json(json.dumps(fields), strict=True)


class Reason(Coded):
    """Why there is no answer, why it is a lesser one, or what must be known beside it."""
