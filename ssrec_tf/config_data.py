"""Checks of the `data` section that no single value tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ssrec_tf.config_io import show
from ssrec_tf.errors import ConfigError

if TYPE_CHECKING:
    from ssrec_tf.config import DataConfig, TableConfig

KINDS = ("text", "category", "number")


def check_data(data: DataConfig) -> None:
    """Check what `data` maps: one source, the columns of the ids, known kinds, a scale.

    Raises:
        ConfigError: names the key, its value and the remedy.
    """
    if (data.dataset is None) == (data.interactions is None):
        given = "neither" if data.dataset is None else "both"
        raise ConfigError(
            f"data.dataset and data.interactions: {given} given; name a public dataset, "
            "or map files of your own"
        )
    if data.interactions is not None:
        _check_table(data.interactions, "data.interactions", ("user", "item"))
    for name, tables in (("item", data.items), ("user", data.users)):
        for i, table in enumerate(tables):
            _check_table(table, f"data.{name}s[{i}]", (name,))
    _check_scale(data)


def _check_scale(data: DataConfig) -> None:
    for value in data.unrated or ():
        if data.rating_scale is None or data.rating_scale[0] <= value <= data.rating_scale[1]:
            raise ConfigError(
                f"data.unrated has {value:g}, which may be a rating: give data.rating_scale, "
                "with the lowest and the highest, which leaves it out"
            )
    if data.rating_scale is not None and data.rating_scale[0] >= data.rating_scale[1]:
        raise ConfigError(
            f"data.rating_scale is {list(data.rating_scale)}: give the lowest rating, "
            "then the highest"
        )


def _check_table(table: TableConfig, key: str, roles: tuple[str, ...]) -> None:
    for role in roles:
        if role not in table.columns:
            raise ConfigError(f"{key}.columns.{role} is missing: name the column of the {role} ids")
    if not table.delimiter or any(mark in table.delimiter for mark in '"\r\n'):
        raise ConfigError(
            f"{key}.delimiter is {show(table.delimiter)}: give what stands between two cells, "
            "as in ';' or '::'"
        )
    for name in table.columns.values() if table.header else ():
        if table.header.count(name) != 1:
            raise ConfigError(
                f"{key}.header names the column {name!r} {table.header.count(name)} times: "
                "give all columns of the file in order, each name once"
            )
    for name, kind in table.kinds.items():
        if name not in table.columns or name in roles:
            raise ConfigError(
                f"{key}.kinds.{name}: no attribute {name!r} in {key}.columns "
                f"({', '.join(table.columns)})"
            )
        if kind not in KINDS:
            raise ConfigError(f"{key}.kinds.{name} is {show(kind)}: give one of {', '.join(KINDS)}")
