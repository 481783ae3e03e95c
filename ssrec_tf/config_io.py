"""YAML -> nested frozen dataclasses, and back: every fault named by its dotted key.

Nothing here knows the keys; they are the fields of the dataclass asked for.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ssrec_tf.errors import ConfigError
from ssrec_tf.storage import storage_errors

T = TypeVar("T")
_SHOWN = 60


class _StrictLoader(yaml.SafeLoader):
    """Safe YAML in which a key given twice is an error instead of a silent choice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = key_node.value
            if key in seen:
                problem = f"the key {key!r} is given twice"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: str | Path) -> object:
    """Read one YAML document.

    Args:
        path: A UTF-8 file.

    Returns:
        Its mappings, lists and scalars; None for an empty file.

    Raises:
        StorageError: There is no such file, or it cannot be read.
        ConfigError: It is not UTF-8 or not YAML; the message names line and column.
    """
    with storage_errors(path, "read"):
        data = Path(path).read_bytes()
    try:
        return yaml.load(data.decode("utf-8-sig"), _StrictLoader)  # noqa: S506 a SafeLoader
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{path}: byte {error.start} is not UTF-8: save the file as UTF-8"
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError(f"{path}: {place}{error.problem}: mend the YAML there") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}: mend the YAML") from error


def override(values: object, assignments: Sequence[str]) -> object:
    """Set keys of a document, without changing it.

    Args:
        values: what `read_yaml` gave.
        assignments: "key.of.it=value" each; the value is YAML.

    Raises:
        ConfigError: there is no "=", the value is no YAML, or a key on the way holds no keys.
    """
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"--set {assignment}: give it as key=value, say train.width=32")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {assignment}: the value is no YAML") from error
        values = _with(values, key.strip().split("."), value, assignment)
    return values


def _with(values: object, keys: Sequence[str], value: object, assignment: str) -> object:
    if not keys:
        return value
    if values is not None and not isinstance(values, Mapping):
        raise ConfigError(f"--set {assignment}: what stands before .{keys[0]} holds no keys")
    inner = dict(values or {})
    inner[keys[0]] = _with(inner.get(keys[0]), keys[1:], value, assignment)
    return inner


def build(cls: type[T], value: object, *, key: str = "") -> T:
    """Make a dataclass of plain values, checking every key and type on the way.

    Args:
        cls: A dataclass; its fields may be other dataclasses, str, int, float,
            bool, `X | None`, `tuple[X, ...]`, `tuple[X, Y]` and `Mapping[str, X]`.
        value: Mappings, lists and scalars, as YAML gives them.
        key: The dotted key `value` stands at; empty for the whole document.

    Returns:
        An instance, with tuples for lists.

    Raises:
        ConfigError: An unknown or missing key, or a value of the wrong type.
    """
    return typing.cast(T, _dataclass(cls, value, key, cls))


def to_plain(value: object) -> Any:
    """Turn a dataclass into dicts, lists and scalars that YAML and JSON can hold."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [field.name for field in dataclasses.fields(value)]
        return {name: to_plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(name): to_plain(inner) for name, inner in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(inner) for inner in value]
    return value


def show(value: object) -> str:
    """Return a value as an error message shows it: one line, not too long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _dataclass(cls: Any, value: object, key: str, root: Any, default: Any = None) -> object:
    """Make one: keys that are not given are those of `default`, or else of the class."""
    if value is None:  # a section whose lines are all commented out
        value = {}
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{key or 'the document'} is {show(value)}: give keys and values, "
            f"such as `{next(iter(_fields(cls)))}: ...`"
        )
    known = _fields(cls)
    for name in value:
        if name not in known:
            raise ConfigError(_unknown(name, key, known, root))
    arguments: dict[str, object] = {}
    for name, (kind, required) in known.items():
        if name in value:
            inner = _default_of(cls, name) if default is None else getattr(default, name)
            arguments[name] = _convert(kind, value[name], _join(key, name), root, inner)
        elif required and default is None:
            raise ConfigError(f"{_join(key, name)} is missing: add it")
    return cls(**arguments) if default is None else dataclasses.replace(default, **arguments)


def _convert(kind: Any, value: object, key: str, root: Any, default: object = None) -> object:
    origin = typing.get_origin(kind)
    arguments = typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        inner = next(part for part in arguments if part is not type(None))
        return None if value is None else _convert(inner, value, key, root, default)
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, key, root, default)
    if origin is tuple:
        return _tuple(arguments, value, key, root)
    if origin is not None:  # Mapping[str, X]
        return _mapping(arguments[1], value, key, root)
    return _scalar(kind, value, key)


def _scalar(kind: type, value: object, key: str) -> object:
    if kind is float:
        # YAML 1.1 reads 1e-3, without a point, as a string.
        number = _float(value)
        if number is not None:
            return number
    elif type(value) is kind:  # not isinstance: True is no number of steps
        return value
    hints = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    hint = hints[kind]
    if kind is str and value is not None:
        hint = f"a text; put it in quotes: '{value}'"
    raise ConfigError(f"{key} is {show(value)}: give {hint}")


def _float(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _tuple(kinds: tuple[Any, ...], value: object, key: str, root: Any) -> object:
    if not isinstance(value, (list, tuple)):
        raise ConfigError(f"{key} is {show(value)}: give a list")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise ConfigError(f"{key} is {show(value)}: give a list of {len(kinds)} values")
    parts = zip(kinds, value, strict=True)
    return tuple(_convert(kind, part, f"{key}[{i}]", root) for i, (kind, part) in enumerate(parts))


def _mapping(kind: Any, value: object, key: str, root: Any) -> object:
    if value is None:
        value = {}
    if not isinstance(value, Mapping):
        raise ConfigError(f"{key} is {show(value)}: give keys and values")
    for name in value:
        if not isinstance(name, str):
            raise ConfigError(f"{key} has the key {show(name)}: put it in quotes: '{name}'")
    return {name: _convert(kind, inner, _join(key, name), root) for name, inner in value.items()}


def _fields(cls: Any) -> dict[str, tuple[Any, bool]]:
    """Return name -> (type, whether it must be given) of a dataclass."""
    hints = typing.get_type_hints(cls)
    missing = dataclasses.MISSING
    return {
        field.name: (
            hints[field.name],
            field.default is missing and field.default_factory is missing,
        )
        for field in dataclasses.fields(cls)
    }


def _default_of(cls: Any, name: str) -> object:
    """What a field is when it is not given; None where it must be."""
    field = next(field for field in dataclasses.fields(cls) if field.name == name)
    if field.default_factory is not dataclasses.MISSING:
        return field.default_factory()
    return None if field.default is dataclasses.MISSING else field.default


def _unknown(name: object, key: str, known: Mapping[str, object], root: Any) -> str:
    """Say which known key an unknown one probably meant: a sibling, else one elsewhere."""
    wrong = _join(key, str(name))
    near = difflib.get_close_matches(str(name), known, n=1)
    if near:
        return f"unknown key {wrong}: did you mean {_join(key, near[0])}?"
    elsewhere: dict[str, list[str]] = {}
    for path in _paths(root):
        elsewhere.setdefault(path.rpartition(".")[2], []).append(path)
    near = difflib.get_close_matches(str(name), elsewhere, n=1)
    if near:
        path = difflib.get_close_matches(wrong, elsewhere[near[0]], n=1, cutoff=0.0)[0]
        return f"unknown key {wrong}: did you mean {path}?"
    return f"unknown key {wrong}: known here are {', '.join(known)}"


def _paths(cls: Any, key: str = "") -> Iterator[str]:
    for name, (kind, _) in _fields(cls).items():
        path = _join(key, name)
        yield path
        inner = [kind, *typing.get_args(kind)]
        for part in filter(dataclasses.is_dataclass, inner):
            yield from _paths(part, path)


def _join(key: str, name: str) -> str:
    return f"{key}.{name}" if key else name
