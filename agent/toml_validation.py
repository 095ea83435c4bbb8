"""From a TOML document to a pydantic model, and from its complaints to a sentence a maker can act on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from agent.domain.errors import ConfigError
from agent.toml_document import KeyPath, TomlDocument, dotted, nearest

ModelT = TypeVar("ModelT", bound=BaseModel)


class StrictModel(BaseModel):
    """Base of everything read from TOML: frozen, unknown keys are errors, no silent conversions.

    The `description` of each field says what values are valid; error messages quote it. Validators are built at first
    use: those of the sections are part of the whole's anyway.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, defer_build=True
    )


def validate(
    document: TomlDocument,
    model: type[ModelT],
    *,
    overrides: Mapping[KeyPath, str] | None = None,
    data: dict[str, Any] | None = None,
) -> ModelT:
    """Return the document as `model`.

    `data` replaces the document's own data (after overrides); `overrides` maps the key paths that came from
    elsewhere to the name of their source. ConfigError names source, line, key and the nearest valid key.
    """
    try:
        return model.model_validate(document.data if data is None else data)
    except ValidationError as error:
        details = error.errors(include_url=False, include_context=True)
        # Complaints about unknown keys come first: a misspelt key also leaves the right one missing.
        details.sort(key=lambda detail: detail["type"] != "extra_forbidden")
        raise _explain(document, model, details, overrides or {}) from None


def _explain(
    document: TomlDocument,
    model: type[BaseModel],
    details: list[ErrorDetails],
    overrides: Mapping[KeyPath, str],
) -> ConfigError:
    sentences = [_sentence(document, model, detail, overrides) for detail in details[:5]]
    first = sentences[0]
    more = [f"{message} ({remedy})" if remedy else message for message, remedy in sentences[1:]]
    return ConfigError("; ".join([first[0], *more]), remedy=first[1])


def _sentence(
    document: TomlDocument, model: type[BaseModel], detail: ErrorDetails, overrides: Mapping[KeyPath, str]
) -> tuple[str, str]:
    path = _written_path(model, detail["loc"])
    source = next((overrides[path[:n]] for n in range(len(path), 0, -1) if path[:n] in overrides), None)
    where = f"environment variable {source}" if source else document.where(path)
    key = dotted(path)
    if detail["type"] == "extra_forbidden":
        return _unknown(where, key, str(path[-1]), _valid_keys(model, path[:-1]))
    if detail["type"] == "missing":
        return f"{where}: {key} is missing", _expected(model, path)
    message = detail["msg"]
    if detail["type"] == "value_error":
        message = message.removeprefix("Value error, ")
    else:
        message = message[:1].lower() + message[1:]
    shown = _shown(detail["input"])
    return f"{where}: {key}{shown}: {message}", _expected(model, path)


def _unknown(where: str, key: str, name: str, valid: list[str]) -> tuple[str, str]:
    meant = nearest(name, valid)
    hint = f", did you mean {meant!r}?" if meant else ""
    return f"{where}: unknown key {key}{hint}", f"valid here: {', '.join(valid)}" if valid else ""


def _shown(value: object) -> str:
    """Show the offending value, short; a table or list is not repeated."""
    if isinstance(value, (dict, list, BaseModel)):
        return ""
    text = repr(value)
    return f" = {text if len(text) <= 60 else text[:57] + '...'}"


def _written_path(model: type[BaseModel], loc: tuple[int | str, ...]) -> KeyPath:
    """Drop the parts pydantic adds for union members and dictionary keys; they are not keys of the file."""
    path: list[int | str] = []
    current: type[BaseModel] | None = model
    for part in loc:
        if current is None and isinstance(part, str) and part.startswith(("[", "function-", "constrained-")):
            continue
        path.append(part)
        current = _submodel(current, part) if current is not None and isinstance(part, str) else None
    return tuple(path)


def _submodel(model: type[BaseModel], name: str) -> type[BaseModel] | None:
    field = model.model_fields.get(name)
    if field is None:
        return None
    candidates = [field.annotation, *getattr(field.annotation, "__args__", ())]
    return next(
        (found for found in candidates if isinstance(found, type) and issubclass(found, BaseModel)), None
    )


def _model_at(model: type[BaseModel], path: KeyPath) -> type[BaseModel] | None:
    current: type[BaseModel] | None = model
    for part in path:
        current = _submodel(current, part) if current is not None and isinstance(part, str) else None
    return current


def _valid_keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    found = _model_at(model, path)
    return list(found.model_fields) if found else []


def _expected(model: type[BaseModel], path: KeyPath) -> str:
    """Quote the description of the field, which says what is valid; of its parent for a list item."""
    for length in range(len(path), 0, -1):
        owner = _model_at(model, path[: length - 1])
        name = path[length - 1]
        if owner and isinstance(name, str) and (field := owner.model_fields.get(name)) and field.description:
            return f"{dotted(path[:length])}: {field.description}"
    return ""
