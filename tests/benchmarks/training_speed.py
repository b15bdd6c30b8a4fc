"""Speed of training a head, beside a plain torch loop and scikit-learn.

``python -m tests.benchmarks.training_speed`` trains a linear head with cross entropy on
20,000 random embeddings of 1,024 numbers, 10 classes, 50 epochs of batches of 256: by
`omicsai.robust.fit.fit_members`, by the loop of torch's tutorials (DataLoader, nn.Linear,
AdamW), and by scikit-learn's LogisticRegression (saga, 50 passes). One run, side by side;
ratios are what counts. Needs a quiet machine.
"""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable

import numpy as np
import torch

from omicsai.robust import Options
from omicsai.robust.fit import fit_members
from omicsai.robust.heads import new_head, on_vectors

COUNT, SIZE, CLASSES, EPOCHS, BATCH = 20_000, 1_024, 10, 50, 256


def ours(X: torch.Tensor, y: torch.Tensor, members: int = 1, loss: str = "cross_entropy"):
    """The shipped loop; returns training accuracy."""
    torch.set_num_threads(1)
    options = Options(
        loss=loss, epochs=EPOCHS, batch_size=BATCH, weight_decay=1.0, transit=0.3
    )
    masks = [np.ones(len(X), dtype=bool)] * members
    fitted = fit_members(
        new_head("linear", members, SIZE, CLASSES, 0, 1), on_vectors(X),
        torch.eye(CLASSES)[y], masks, options, watched={},
    )  # fmt: skip
    logits = on_vectors(X)(fitted.last, torch.arange(len(X)), 0.0)
    return (logits.argmax(-1) == y).float().mean().item()


def plain(X: torch.Tensor, y: torch.Tensor) -> float:
    """The loop that everybody writes."""
    torch.set_num_threads(2)
    model = torch.nn.Linear(SIZE, CLASSES)
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1.0)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(X, y), batch_size=BATCH, shuffle=True
    )
    for _ in range(EPOCHS):
        for features, labels in loader:
            loss = torch.nn.functional.cross_entropy(model(features), labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return (model(X).argmax(-1) == y).float().mean().item()


def saga(X: torch.Tensor, y: torch.Tensor) -> float:
    """scikit-learn, as many passes."""
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has not converged: passes are fixed
        model = LogisticRegression(solver="saga", max_iter=EPOCHS, tol=0).fit(X, y)
    return float(model.score(X, y))


def main() -> None:
    """Time each and print wall seconds, CPU seconds and the ratio to the plain loop."""
    logging.disable(logging.INFO)
    generator = torch.Generator().manual_seed(1)
    y = torch.randint(CLASSES, (COUNT,), generator=generator)
    centre = torch.randn(CLASSES, SIZE, generator=generator) * 0.15
    X = centre[y] + torch.randn(COUNT, SIZE, generator=generator)
    runs: dict[str, Callable[[], float]] = {
        "plain torch loop": lambda: plain(X, y),
        "omicsai, cross entropy": lambda: ours(X, y),
        "omicsai, ProSelfLC": lambda: ours(X, y, loss="proselflc"),
        "omicsai, 5 members": lambda: ours(X, y, members=5),
        "scikit-learn saga": lambda: saga(X, y),
    }
    ours(X[:1000], y[:1000])  # warm up
    walls: dict[str, float] = {}
    for name, train in runs.items():
        wall, cpu = time.perf_counter(), time.process_time()
        accuracy = train()
        walls[name] = time.perf_counter() - wall
        print(
            f"{name:24s} {walls[name]:7.1f} s wall {time.process_time() - cpu:7.1f} s CPU  "
            f"x{walls['plain torch loop'] / walls[name]:.1f}  accuracy {accuracy:.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
