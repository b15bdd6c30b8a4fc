"""Batches of bounded size, and what to do when one does not fit after all."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from omicsai.embedding.encoders import Encoder
from omicsai.errors import InputError, ToolError
from omicsai.sequences import Sequence as Record

__all__ = ["Passes", "batches", "check_lengths"]

logger = logging.getLogger(__name__)
Result = TypeVar("Result")

MEMORY_SHARE = 0.8  # of what is free, for one protein


def batches(lengths: Sequence[int], budget: int) -> Iterator[slice]:
    """Cut consecutive sequences into batches.

    Parameters
    ----------
    lengths
        Of n sequences, in the order in which they are encoded.
    budget
        Most residues of a batch; a longer sequence is a batch of its own.

    Yields
    ------
    slice
        Of the sequences, in order, covering all of them.
    """
    start, size = 0, 0
    for end, length in enumerate(lengths):
        if end > start and size + length > budget:
            yield slice(start, end)
            start, size = end, 0
        size += length
    if start < len(lengths):
        yield slice(start, len(lengths))


class Passes(Generic[Result]):
    """Encode batches in passes that fit the device.

    A pass that does not fit is halved, and so are all that come after it. Only
    `torch.OutOfMemoryError` counts; any other error is passed on.

    Parameters
    ----------
    encode
        From n sequences to n results.
    """

    def __init__(self, encode: Callable[[Sequence[str]], Sequence[Result]]) -> None:
        self.encode = encode
        self.budget = sys.maxsize  # residues of a pass

    def __call__(self, sequences: Sequence[str]) -> list[Result]:
        """Encode a batch.

        Raises
        ------
        ToolError
            If a single sequence does not fit.
        """
        found: list[Result] = []
        for part in batches(list(map(len, sequences)), self.budget):
            found += self._fitting(sequences[part])
        return found

    def _fitting(self, sequences: Sequence[str]) -> Sequence[Result]:
        try:
            return self.encode(sequences)
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
        if len(sequences) == 1:
            raise ToolError(
                f"out of memory on a protein of {len(sequences[0])} residues: use a device "
                "with more memory, or set 'check.max_length'"
            )
        size = sum(map(len, sequences))
        logger.warning("out of memory on %d residues: half of them at once from now", size)
        self.budget = size // 2
        sys.modules["torch"].cuda.empty_cache()
        return self(sequences)


def _out_of_memory(error: RuntimeError) -> bool:
    torch = sys.modules.get("torch")  # an error of torch's cannot come without it
    return torch is not None and isinstance(error, torch.OutOfMemoryError)


def check_lengths(sequences: Sequence[Record], encoder: Encoder) -> None:
    """Refuse what cannot be encoded before any work is done.

    Parameters
    ----------
    sequences
        The proteins.
    encoder
        What is to encode them.

    Raises
    ------
    InputError
        If a protein is longer than the model can read, or needs more memory than is free.
    """
    longest = max(sequences, key=len, default=None)
    if longest is None:
        return
    if encoder.limit is not None and len(longest) > encoder.limit:
        raise InputError(
            f"protein '{longest.id}' has {len(longest)} residues, but '{encoder.name}' "
            f"reads at most {encoder.limit}: set 'check.max_length', or choose a model "
            "with relative positions such as ProtT5"
        )
    needed, free = encoder.memory(len(longest)), free_memory(encoder.device)
    if needed > MEMORY_SHARE * free:
        raise InputError(
            f"protein '{longest.id}' of {len(longest)} residues needs about "
            f"{needed / 1e9:.1f} GB, but {free / 1e9:.1f} GB are free: set "
            "'check.max_length', or use a machine with more memory"
        )


def free_memory(device: str) -> int:
    """Free bytes of the machine, or of its GPU."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.mem_get_info(torch.device(device))[0]
    try:
        with open("/proc/meminfo") as lines:  # noqa: PTH123
            fields = dict(line.split(":") for line in lines)
        return int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError):  # no Linux: all there is
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
