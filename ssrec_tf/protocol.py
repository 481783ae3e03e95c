"""The protocol card: under which rules a figure was measured.

Two figures may be compared only when their cards are equal; `check_same` says where they
are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from ssrec_tf.errors import DataError, ProtocolError

CANDIDATES = (
    "all items but those the user has in an earlier part (train; for test also valid); each "
    "relevant item alone against them, the other relevant items of the part left out"
)
TIES = (
    "tied candidates share their mean rank, and rank k.5 is within k; rows tied across a cutoff "
    "share their clicks"
)
TRAIN_HISTORY = "train rows of the user"
PAST_HISTORY = "train rows of the user before the target, by (time, row)"
STREAMING_HISTORY = (
    "all rows of the user before the target, by (time, row), of any part; a ranking: before "
    "the user's first row of the part"
)
METRICS_VERSION = 1  # raise it when a metric's definition changes, so that old figures stand apart


@dataclass(frozen=True)
class ProtocolCard:
    """The rules of a measurement.

    Attributes:
        dataset: Name of the data.
        split: Kind of the split, as in `SplitConfig`.
        split_digest: SHA-256 of the part of every row.
        split_seed: Seed of the split; None where it is not known (the digest counts).
        part: valid or test.
        rows: Number of rows evaluated.
        click: What a click is.
        k: Cutoff of the metrics that have one.
        relevant: Which rows a ranking should find.
        ranked_users: Number of users ranked for; 0 without a ranking.
        ranked_users_digest: SHA-256 of their ids, in order.
        candidates: What a relevant item is ranked against.
        ties: What happens to equal scores.
        histories: The rows that may be read beside a target.
        fitted_on: The rows weights and statistics come from.
        tuned_on: The rows choices were made on.
        metrics_version: Of the metrics' definitions.
    """

    dataset: str
    split: str
    split_digest: str
    split_seed: int | None
    part: str
    rows: int
    click: str
    k: int
    relevant: str
    ranked_users: int
    ranked_users_digest: str
    candidates: str = CANDIDATES
    ties: str = TIES
    histories: str = TRAIN_HISTORY
    fitted_on: str = "train"
    tuned_on: str = "valid"
    metrics_version: int = METRICS_VERSION

    def check_same(self, other: ProtocolCard) -> None:
        """Raise unless figures of both cards may be compared.

        Raises:
            ProtocolError: Naming every field that differs, with both values.
        """
        differing = [
            f"{item.name}: {getattr(self, item.name)!r} and {getattr(other, item.name)!r}"
            for item in fields(self)
            if getattr(self, item.name) != getattr(other, item.name)
        ]
        if differing:
            raise ProtocolError(
                f"figures of different protocols cannot be compared ({'; '.join(differing)}): "
                "evaluate both under the same split, part, k and users"
            )

    def to_dict(self) -> dict[str, str | int | None]:
        """Return the fields as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> ProtocolCard:
        """Build a card from the values of `to_dict`.

        Raises:
            DataError: A field is missing, unknown or of another type.
        """
        # Cards were first written without these; the rule followed from the kind of split.
        past = values.get("split") in ("time", "leave_one_out")
        rule = PAST_HISTORY if past else TRAIN_HISTORY
        values = {"metrics_version": 1, "histories": rule, **values}
        known = {item.name: str(item.type) for item in fields(cls)}
        if known.keys() != values.keys():
            odd = sorted(known.keys() ^ values.keys())
            raise DataError(
                f"protocol card: fields {', '.join(odd)} missing or unknown: "
                "evaluate again with this version"
            )
        allowed: dict[str, tuple[type, ...]] = {
            "str": (str,), "int": (int,), "int | None": (int, type(None)),
        }  # fmt: skip
        for name, value in values.items():
            if not isinstance(value, allowed[known[name]]) or isinstance(value, bool):
                raise DataError(
                    f"protocol card: {name} is {value!r}, which is no {known[name]}: "
                    "evaluate again with this version"
                )
        return cls(**values)  # type: ignore[arg-type]
