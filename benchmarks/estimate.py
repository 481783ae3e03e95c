"""What a billion interactions would cost, reckoned from the measured rates."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.results import Result


def section(results: Mapping[str, Result]) -> list[str]:
    """Lines of the page; none where a rate that is needed was not measured."""
    return []
