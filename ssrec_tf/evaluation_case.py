"""What every model of a report is measured on: the part's rows, relevant pairs, groups."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from ssrec_tf.errors import DataError
from ssrec_tf.measuring import Rows
from ssrec_tf.protocol import PAST_HISTORY, STREAMING_HISTORY, TRAIN_HISTORY, ProtocolCard

if TYPE_CHECKING:
    from ssrec_tf.splits import Split
    from ssrec_tf.tables import Tables


def part_rows(split: Split, part: str) -> np.ndarray:
    """Return the row numbers of `valid` or `test`.

    Raises:
        ValueError: Another part.
    """
    if part not in ("valid", "test"):
        raise ValueError(f"part={part!r}: figures are measured on 'valid' or 'test'")
    return split.valid if part == "valid" else split.test


@dataclass(frozen=True)
class Case:
    """What all models are measured on: rows of the part, and relevant (user, item) pairs.

    Attributes:
        rows: The part's rows, nobody's scores in them.
        k: Cutoff.
        user_count: int [users], train rows.
        item: int [n], place of each row's item in the catalogue.
        item_count: int [items], train rows.
        ranked: int [ranked users], their codes in `rows.user`.
        pair_user: int [pairs], place in `ranked` of each relevant pair's user.
        pair_item: int [pairs], place in the catalogue of its item.
        seen: Places in `ranked` and in the catalogue of what users have in earlier parts.
    """

    rows: Rows
    k: int
    user_count: np.ndarray
    item: np.ndarray
    item_count: np.ndarray
    ranked: np.ndarray
    pair_user: np.ndarray
    pair_item: np.ndarray
    seen: tuple[np.ndarray, np.ndarray]

    @classmethod
    def build(
        cls, tables: Tables, split: Split, part: str, ranking_users: np.ndarray | None, k: int
    ) -> Case:
        """Collect it; see `evaluation.evaluate` for the arguments and errors."""
        wanted = part_rows(split, part)
        if not len(wanted):
            raise DataError(f"the {part} part has no rows: raise split.{part}, or give more data")
        log = tables.interactions
        user, ids = pd.factorize(log["user"].iloc[wanted], sort=True)
        users, items = pd.Index(ids), tables.items.index
        user_of, item_of = users.get_indexer(pd.Index(log["user"])), _places(items, log["item"])
        rows = Rows(user, len(users), _column(log, "rating", wanted), _column(log, "click", wanted))
        ranked = _codes(users, ranking_users, part)
        place = np.full(len(users) + 1, -1)  # user code -> place in `ranked`; -1 stays -1
        place[ranked] = np.arange(len(ranked))
        # Nobody is recommended again what stands in an earlier part.
        earlier = split.train if part == "valid" else np.concatenate([split.train, split.valid])
        earlier = earlier[place[user_of[earlier]] >= 0]
        seen = (place[user_of[earlier]], item_of[earlier])
        relevant = wanted[_relevant(rows) & (place[user] >= 0)]
        pairs = np.setdiff1d(
            place[user_of[relevant]] * len(items) + item_of[relevant],
            seen[0] * len(items) + seen[1],
        )
        train_user = user_of[split.train]
        return cls(
            rows=rows,
            k=k,
            user_count=np.bincount(train_user[train_user >= 0], minlength=len(users)),
            item=item_of[wanted],
            item_count=np.bincount(item_of[split.train], minlength=len(items)),
            ranked=ranked,
            pair_user=pairs // len(items),
            pair_item=pairs % len(items),
            seen=seen,
        )


def _places(items: pd.Index, column: pd.Series) -> np.ndarray:
    found = items.get_indexer(pd.Index(column))
    if (found < 0).any():
        row = int(np.argmin(found))
        raise DataError(
            f"row {row} of the interactions: item {column.iloc[row]!r} is not in the catalogue: "
            "give every item a row"
        )
    return found


def _column(log: pd.DataFrame, name: str, rows: np.ndarray) -> np.ndarray | None:
    return log[name].to_numpy()[rows] if name in log else None


def _codes(users: pd.Index, ranking_users: np.ndarray | None, part: str) -> np.ndarray:
    if ranking_users is None:
        return np.empty(0, np.int64)
    codes = users.get_indexer(pd.Index(ranking_users))
    if (codes < 0).any():
        user = ranking_users[int(np.argmin(codes))]
        raise DataError(
            f"ranking_users: {str(user)!r} has no rows in {part}: rank for users of the part"
        )
    return codes


def _relevant(rows: Rows) -> np.ndarray:
    """Tell which rows a ranking should find: bool [n]."""
    if rows.target_click is None or rows.target_rating is not None:
        return np.ones(len(rows.user), bool)
    return rows.target_click > 0


def groups(case: Case) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return name, users (bool [users]) and items (bool [items]) of each slice."""
    counts, warm = case.item_count, case.item_count > 0
    users = case.user_count > 0
    any_user, any_item = np.ones(len(users), bool), np.ones(len(counts), bool)
    # Items with equally many rows stay together, so the thirds are of uneven size.
    low, high = np.quantile(counts[warm], [1 / 3, 2 / 3]) if warm.any() else (0, 0)
    return [
        ("warm users", users, any_item),
        ("cold users", ~users, any_item),
        ("warm items", any_user, warm),
        ("cold items", any_user, ~warm),
        (f"rare items (1-{low:.0f} train rows)", any_user, warm & (counts <= low)),
        (
            f"middling items (up to {high:.0f} train rows)",
            any_user,
            (counts > low) & (counts <= high),
        ),
        (f"popular items (over {high:.0f} train rows)", any_user, warm & (counts > high)),
    ]


def make_card(
    tables: Tables,
    split: Split,
    part: str,
    case: Case,
    ranking_users: np.ndarray | None,
    split_seed: int | None,
) -> ProtocolCard:
    """Write down the rules the case is measured under."""
    if case.rows.target_click is None:
        click = "none in the log"
    elif tables.click_threshold is not None:
        click = f"rating >= {tables.click_threshold:g}"
    else:
        click = "as logged"
    if case.rows.target_click is not None and (unknown := np.isnan(case.rows.target_click).sum()):
        click += f"; {unknown:,} rows have no rating, and count in rankings alone"
    every = case.rows.target_click is None or case.rows.target_rating is not None
    ids = [] if ranking_users is None else [str(user) for user in ranking_users]
    return ProtocolCard(
        dataset=tables.name,
        split=split.kind,
        split_digest=split.digest,
        split_seed=split_seed,
        part=part,
        rows=len(case.rows.user),
        click=click,
        k=case.k,
        relevant="every interaction of the part" if every else "every click of the part",
        ranked_users=len(ids),
        ranked_users_digest=hashlib.sha256("\n".join(ids).encode()).hexdigest(),
        histories=_histories(split),
    )


def _histories(split: Split) -> str:
    if split.streaming:
        return STREAMING_HISTORY
    return PAST_HISTORY if split.past_only else TRAIN_HISTORY
