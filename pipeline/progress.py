"""A bar over the parts of a step, for steps that do not train."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm


@contextmanager
def stages(name: str, total: int) -> Iterator[Callable[[str], None]]:
    """Show a bar of `total` parts; call what is given with each part's name as it begins."""
    with tqdm(total=total, desc=f"    {name}", bar_format="{desc} {bar:20} {postfix}") as bar:
        begun = 0

        def begin(part: str) -> None:
            nonlocal begun
            bar.update(min(begun, 1))
            begun += 1
            bar.set_postfix_str(part)

        yield begin
        bar.update(total - bar.n)
        bar.set_postfix_str("done")
