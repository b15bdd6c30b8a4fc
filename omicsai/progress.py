"""Progress of long work: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

__all__ = ["track"]

logger = logging.getLogger(__name__)
Item = TypeVar("Item")

LOG_EVERY_SECONDS = 30.0


def track(items: Iterable[Item], *, total: int, label: str) -> Iterator[Item]:
    """Yield `items` while showing how far the work has come.

    Parameters
    ----------
    items
        What is worked through.
    total
        Number of items, for the bar and the estimate of the time left.
    label
        What is being done, for example ``"embed"``.

    Yields
    ------
    Item
        The items, unchanged and in order.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=label, file=sys.stderr)
        return
    last = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        if time.monotonic() - last >= LOG_EVERY_SECONDS:
            last = time.monotonic()
            logger.info("%s: %d of %d (%.0f %%)", label, done, total, 100 * done / total)
