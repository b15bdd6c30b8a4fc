"""From cells with several labels to a matrix of 0 and 1, with what is unknown apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from omicsai.sequences import split_labels
from omicsai.sequences.hierarchy import Hierarchy

__all__ = ["LabelMatrix", "join_called", "label_matrix", "propagate"]


@dataclass(frozen=True)
class LabelMatrix:
    """Annotation of n examples with C labels.

    Attributes
    ----------
    classes
        Names of the labels, sorted.
    truth
        (n, C) bool, propagated to ancestors.
    known
        (n, C) bool: false where nothing was said, because the cell is empty or names an
        ancestor and leaves open what is below it.
    parents
        Columns of the direct parents of each label.
    """

    classes: list[str]
    truth: NDArray[np.bool_]
    known: NDArray[np.bool_]
    parents: list[list[int]]

    def rows(self, chosen: NDArray) -> LabelMatrix:
        """Take some of the examples."""
        return replace(self, truth=self.truth[chosen], known=self.known[chosen])


def label_matrix(
    cells: Sequence[str],
    hierarchy: Hierarchy | None = None,
    classes: Sequence[str] | None = None,
) -> LabelMatrix:
    """Read cells such as ``"b;a"``.

    Parameters
    ----------
    cells
        One cell an example; empty where unknown.
    hierarchy
        What implies what; flat if None.
    classes
        Labels of the columns; those of the cells and all their ancestors if None. Other
        labels in the cells count through their ancestors alone.

    Returns
    -------
    LabelMatrix
        Roots are no columns: they say nothing.
    """
    tree = hierarchy or Hierarchy()
    given = [[tree.name(label) for label in split_labels(cell)] for cell in cells]
    above = {label: tree.ancestors(label) for label in {x for cell in given for x in cell}}
    if classes is None:
        named = set(above) | {x for found in above.values() for x in found}
        classes = sorted(named - tree.roots)
    column = {label: i for i, label in enumerate(classes)}
    truth = np.zeros((len(cells), len(column)), dtype=bool)
    known = np.ones_like(truth)
    below = {
        label: [i for name, i in column.items() if tree.opens(label, name)]
        for label in above
        if tree.is_open(label)
    }
    for row, labels in enumerate(given):
        known[row] = bool(labels)
        for label in labels:
            if label in below:
                known[row, below[label]] = False
            implied = above[label] | {label}
            truth[row, [column[x] for x in implied if x in column]] = True
    known |= truth
    parents = [_nearest(tree, label, column) for label in column]
    return LabelMatrix(list(column), truth, known, parents)


def _nearest(tree: Hierarchy, label: str, column: dict[str, int]) -> list[int]:
    """Columns of the nearest ancestors that are columns."""
    found: set[int] = set()
    todo = list(tree.parents(label))
    while todo:
        parent = todo.pop()
        if parent in column:
            found.add(column[parent])
        else:
            todo += tree.parents(parent)
    return sorted(found)


def propagate(values: NDArray, parents: Sequence[Sequence[int]]) -> NDArray:
    """Raise every label to the largest value among its descendants.

    Parameters
    ----------
    values
        (n, C) truth or probabilities.
    parents
        Columns of the direct parents of each label, without cycles.

    Returns
    -------
    (n, C)
        A parent is never below a child, as the true-path rule wants.
    """
    raised = np.array(values)
    for child in _children_first(parents):
        for parent in parents[child]:
            np.maximum(raised[:, parent], raised[:, child], out=raised[:, parent])
    return raised


def _children_first(parents: Sequence[Sequence[int]]) -> list[int]:
    waiting = np.zeros(len(parents), dtype=np.int64)
    for above in parents:
        waiting[list(above)] += 1
    ready = [int(i) for i in np.flatnonzero(waiting == 0)]
    for child in ready:  # grows while it is read
        for parent in parents[child]:
            waiting[parent] -= 1
            if waiting[parent] == 0:
                ready.append(parent)
    return ready


def join_called(called: NDArray[np.bool_], classes: list[str]) -> list[str]:
    """One cell of labels for each row of decisions (n, C)."""
    return [";".join(classes[c] for c in np.flatnonzero(row)) for row in called]
