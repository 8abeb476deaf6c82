"""Typed settings from the environment, checked once at start.

A settings class is a frozen msgspec struct. Each field names its variable and carries its documentation through
`setting()`, so that the code is the reference.

A field whose name begins with `insecure_` gives up a protection. It has a variable with INSECURE in its name, and
`load` refuses it in production.
"""

import os
import types
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

T = TypeVar("T", bound=msgspec.Struct)

Environment = Literal["production", "development"]
ENVIRONMENT: Final = "HEADRACE_ENVIRONMENT"


class SettingsError(ValueError):
    """A variable is missing or wrong. `variable` names it; the message says what was expected."""

    def __init__(self, variable: str, problem: str) -> None:
        super().__init__(f"{variable}: {problem}")
        self.variable = variable


def setting(variable: str, doc: str, **constraints: Any) -> msgspec.Meta:  # noqa: ANN401 - msgspec's own constraints
    """Annotation of a settings field: the variable that it is read from, what it means, and msgspec constraints."""
    return msgspec.Meta(description=doc, extra={"variable": variable}, **constraints)


EnvironmentSetting = Annotated[
    Environment,
    setting(ENVIRONMENT, "production, or development, where HEADRACE_INSECURE_* settings may be used"),
]


def load(cls: type[T], environ: Mapping[str, str] | None = None) -> T:
    """Build `cls` from environment variables.

    A field of type tuple is a comma separated list. An empty variable counts as absent.

    Raises:
        SettingsError: a required variable is absent, or a value does not fit its type or constraints.
    """
    values = os.environ if environ is None else environ
    hints = get_type_hints(cls, include_extras=True)
    found: dict[str, Any] = {}
    for field in msgspec.structs.fields(cls):
        annotation = hints[field.name]
        variable = _variable_of(annotation)
        text = values.get(variable, "")
        if not text:
            if field.required:
                raise SettingsError(variable, f"is required ({_doc_of(annotation)})")
            continue
        raw: Any = [part.strip() for part in text.split(",") if part.strip()] if _is_tuple(annotation) else text
        try:
            # strict=False turns the environment's strings into numbers and booleans.
            found[field.name] = msgspec.convert(raw, annotation, strict=False)
        except msgspec.ValidationError as error:
            raise SettingsError(variable, f"{error} ({_doc_of(annotation)})") from error
    loaded = cls(**found)
    _refuse_insecure(loaded, hints)
    return loaded


def _refuse_insecure(loaded: msgspec.Struct, hints: Mapping[str, Any]) -> None:
    if getattr(loaded, "environment", "production") != "production":
        return
    for name, annotation in hints.items():
        if name.startswith("insecure_") and getattr(loaded, name):
            problem = f"is for development only: expected {ENVIRONMENT}=development beside it, or none of it"
            raise SettingsError(_variable_of(annotation), problem)


def variables(cls: type[msgspec.Struct]) -> set[str]:
    """The names of the variables that a settings class reads."""
    return {_variable_of(hint) for hint in get_type_hints(cls, include_extras=True).values()}


def reference(cls: type[msgspec.Struct]) -> str:
    """The fields of a settings class as a Markdown table."""
    hints = get_type_hints(cls, include_extras=True)
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for field in msgspec.structs.fields(cls):
        annotation = hints[field.name]
        default = "required" if field.required else _shown(field.default)
        rows.append(f"| `{_variable_of(annotation)}` | {default} | {_doc_of(annotation)} |")
    return "\n".join(rows)


def _shown(default: object) -> str:
    if isinstance(default, tuple):
        default = ",".join(map(str, default))
    return f"`{default}`" if default != "" else "none"


def _metas(annotation: Any) -> list[msgspec.Meta]:  # noqa: ANN401 - a type expression has no narrower type
    if get_origin(annotation) is Annotated:
        return [meta for meta in get_args(annotation)[1:] if isinstance(meta, msgspec.Meta)]
    return []


def _variable_of(annotation: Any) -> str:  # noqa: ANN401 - a type expression has no narrower type
    for meta in _metas(annotation):
        if meta.extra and "variable" in meta.extra:
            return str(meta.extra["variable"])
    message = f"settings field without setting(): {annotation}"
    raise TypeError(message)


def _doc_of(annotation: Any) -> str:  # noqa: ANN401 - a type expression has no narrower type
    return "; ".join(meta.description for meta in _metas(annotation) if meta.description)


def _is_tuple(annotation: Any) -> bool:  # noqa: ANN401 - a type expression has no narrower type
    base = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    if get_origin(base) in {Union, types.UnionType}:
        return any(get_origin(arm) is tuple for arm in get_args(base))
    return get_origin(base) is tuple
