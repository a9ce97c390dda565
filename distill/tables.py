"""Dataclasses as nested tables of plain values, and these as TOML."""

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

T = TypeVar("T")


class ConfigError(ValueError):
    """A setting that does not exist or cannot have this value."""


def build(kind: type[T], values: Mapping[str, Any], *, prefix: str = "") -> T:
    """A dataclass from its table; what is absent keeps its default.

    Args:
        kind: of fields that are plain values, literals, paths, tuples of strings or such
            dataclasses.
        values: nested tables.
        prefix: dotted name of the table, for messages.

    Raises:
        ConfigError: unknown key (with near names), or a bad value.
    """
    hints = typing.get_type_hints(kind)
    known = [item.name for item in dataclasses.fields(typing.cast(Any, kind))]
    arguments = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if key not in known:
            raise ConfigError(f"{name}: unknown key{near(key, known)}")
        arguments[key] = _value(hints[key], value, name)
    try:
        return kind(**arguments)
    except ConfigError as error:
        raise ConfigError(f"{prefix}{error}") from error


def to_dict(value: Any) -> dict[str, Any]:
    """The table of a dataclass, the inverse of `build`; fields that are None are absent."""
    result: dict[str, Any] = {}
    for item in dataclasses.fields(value):
        entry = getattr(value, item.name)
        if dataclasses.is_dataclass(entry):
            result[item.name] = to_dict(entry)
        elif entry is not None:
            result[item.name] = str(entry) if isinstance(entry, Path) else entry
    return result


def to_toml(values: Mapping[str, Any]) -> str:
    """Nested tables as the text of a TOML file."""
    lines: list[str] = []
    _emit(values, "", lines)
    return "\n".join(lines).lstrip() + "\n"


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted names to plain values, in order."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def near(name: str, known: Sequence[str]) -> str:
    """The end of a message on an unknown name: what it may have been meant to be."""
    close = difflib.get_close_matches(name, known, n=3)
    return f"; did you mean {' or '.join(close)}?" if close else f"; known: {', '.join(known)}"


def require(condition: bool, name: str, expected: str, value: object) -> None:
    """Refuse a value of a setting."""
    if not condition:
        raise ConfigError(f"{name}: expected {expected}, got {value!r}")


def require_weights(**weights: float) -> None:
    """Refuse weights of a sum that are negative or not finite."""
    for name, value in weights.items():
        require(0 <= value < math.inf, name, "a finite number of at least 0", value)


def _value(hint: Any, value: Any, name: str) -> Any:
    """Check one TOML value against its type hint."""
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, Mapping):
            raise ConfigError(f"{name}: expected a table, got {value!r}")
        return build(typing.cast(type, hint), value, prefix=f"{name}.")
    if typing.get_origin(hint) is Literal:
        choices = typing.get_args(hint)
        if value not in choices:
            wanted = ", ".join(map(repr, choices))
            raise ConfigError(f"{name}: expected one of {wanted}, got {value!r}")
        return value
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(h for h in typing.get_args(hint) if h is not type(None))
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{name}: expected a list, got {value!r}")
        return tuple(_value(typing.get_args(hint)[0], each, name) for each in value)
    accepted = {float: (int, float), Path: (str, Path)}.get(hint, (hint,))
    if not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool):
        raise ConfigError(f"{name}: expected {hint.__name__}, got {value!r}")
    return hint(value)


def _emit(values: Mapping[str, Any], table: str, lines: list[str]) -> None:
    plain = {key: value for key, value in values.items() if not isinstance(value, dict)}
    if plain and table:
        lines.append(f"\n[{table}]")
    # JSON's strings, numbers and booleans are TOML's too, but for a bare U+007F.
    lines.extend(
        f"{key} = {json.dumps(value, ensure_ascii=False)}".replace("\x7f", "\\u007f")
        for key, value in plain.items()
    )
    for key, value in values.items():
        if isinstance(value, dict):
            _emit(value, f"{table}.{key}" if table else key, lines)
