"""Which examples each member sees at each step."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from omicsai.errors import InputError

__all__ = ["Sampler", "class_weights", "generator_of", "new_sampler"]


@dataclass(frozen=True)
class Sampler:
    """Batches for every member, a function of seed, member and epoch alone.

    Attributes
    ----------
    members
        Rows that each member learns from.
    weights
        Weight of each of them; then rows are drawn with replacement. None: they are
        shuffled, and members with fewer rows start over within an epoch.
    steps, size
        Batches per epoch and rows per batch.
    seed
        Seed of every draw.
    """

    members: Sequence[Tensor]
    weights: Sequence[Tensor] | None
    steps: int
    size: int
    seed: int

    def __call__(self, epoch: int) -> list[Tensor]:
        """Batches (m, size) of row numbers of an epoch."""
        count = self.steps * self.size
        rows = []
        for number, indices in enumerate(self.members):
            generator = generator_of(self.seed, number, epoch)
            if self.weights is not None:
                drawn = torch.multinomial(
                    self.weights[number], count, replacement=True, generator=generator
                )
                rows.append(indices[drawn])
                continue
            shuffled = indices[torch.randperm(len(indices), generator=generator)]
            repeats = math.ceil(count / len(indices))
            rows.append(shuffled.repeat(repeats)[:count])
        return list(torch.stack(rows).split(self.size, dim=1))


def generator_of(seed: int, member: int, epoch: int) -> torch.Generator:
    """Random numbers of a member in an epoch; other ones for any other three."""
    mixed = (seed * 1_000_003 + member) * 100_003 + epoch
    return torch.Generator().manual_seed(mixed % 2**63)  # what PyTorch takes as a seed


def new_sampler(
    members: Sequence[Tensor],
    batch_size: int,
    seed: int,
    weights: Sequence[Tensor] | None = None,
) -> Sampler:
    """Sampler whose epochs pass once over the largest member.

    Raises
    ------
    InputError
        If a member has nothing to learn from.
    """
    if min(len(rows) for rows in members) == 0:
        raise InputError("a cross-fitting fold leaves no labelled example to train on")
    largest = max(len(rows) for rows in members)
    size = min(batch_size, largest)
    return Sampler(members, weights, math.ceil(largest / size), size, seed)


def class_weights(given: Tensor) -> Tensor:
    """Weights that give every class the same share of draws.

    Parameters
    ----------
    given
        (n, C) label distributions; a row of zeros is an unknown label.

    Returns
    -------
    Tensor
        (n,) float32. Unknown labels keep the share they have; classes without an example
        count for nothing.
    """
    total = given.sum(dim=0)
    share = torch.where(total > 0, total.sum() / (total > 0).sum() / total, 0.0)
    return given @ share + (1 - given.sum(dim=1))
