"""What the small encoder has learned: perplexity, and linear probes on unrelated proteins.

    python -m tests.benchmarks.small_encoder perplexity MODEL_DIR CORPUS.fasta.xz
    python -m tests.benchmarks.small_encoder probe [MODEL_DIR] --selection RUN_DIR

`MODEL_DIR` is what ``omicsai pretrain`` wrote. ``perplexity`` compares, on the held-out
proteins of its ``selection.tsv``, the model with models of no depth fitted on the
proteins it was trained on. The strongest of them sees the residues up to 8 positions away
and the composition of the rest of the protein.

``probe`` compares encoders on data sets (OMICSAI_SHARED) that no training protein aligns
to, over five splits by MMseqs2 cluster (30 % identity over half of both; SignalP: its own
five parts by homology): the same logistic regression, its strength chosen on the
validation part among the same values, for each of

* ``composition``: the 427 features;
* ``pairs``: the first block of `omicsai.embedding.pooling`, which needs no model;
* ``random``: `MODEL_DIR`'s architecture with random weights, pooled the same way, its
  pooling fitted on the same proteins;
* ``tiny``: `MODEL_DIR`;
* ``... means``: of all blocks, without pairs and whitening.

SCOPe domains are compared by cosine. Half the superfamilies decide whether an encoder's
features are standardised first, and were what the settings of the pooling were chosen on.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path

import numpy as np
import torch
from scipy.stats import t
from torch.nn import functional as F  # noqa: N812

from omicsai.embedding import composition
from omicsai.embedding.pooling import LONGEST, SAMPLE, Pooling, layer_means
from omicsai.embedding.pretrain import MaskedModel, load_masked, perplexity
from omicsai.embedding.t5 import Shape
from omicsai.embedding.tiny import TINY
from omicsai.embedding.vocabulary import PROTT5
from omicsai.sequences import canonical, parse_fasta
from omicsai.sequences.alphabet import AMINO_ACIDS

TASKS = ["signalp", "membrane", "location", "superfamily"]
WINDOW = 8
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
SHARED = Path(os.environ.get("OMICSAI_SHARED", "../shared")) / "data"


# --- perplexity ------------------------------------------------------------------------


def parts_of(folder: Path, corpus: Path) -> dict[str, list[str]]:
    """Residues of the proteins of each part of a pretraining run."""
    rows = [line.split("\t") for line in (folder / "selection.tsv").read_text().split("\n")]
    part = {key: name for key, name in rows[1:-1]}  # noqa: C416
    found: dict[str, list[str]] = {}
    seen: dict[str, str] = {}
    for raw in parse_fasta(corpus):
        residues, problem = canonical(raw.raw, "protein")
        if not problem:
            seen.setdefault(residues, raw.id)
    for i, (residues, key) in enumerate(seen.items()):
        found.setdefault(part[f"{i}|{key}"], []).append(residues)
    return found


def coded(residues: str) -> np.ndarray:
    """0 to 19, and 20 for anything else."""
    table = np.full(256, 20)
    table[np.frombuffer(AMINO_ACIDS.encode(), np.uint8)] = np.arange(20)
    return table[np.frombuffer(residues.encode(), np.uint8)]


def contexts(proteins: Sequence[str], share: float, seed: int) -> tuple[np.ndarray, ...]:
    """Neighbours, log composition of the rest, truth and protein of chosen residues."""
    rng = np.random.default_rng(seed)
    offsets = [o for o in range(-WINDOW, WINDOW + 1) if o]
    near, rest, truth, owner = [], [], [], []
    for number, residues in enumerate(proteins):
        code = coded(residues)
        tokens = PROTT5.tokens(residues)
        # the residues that `perplexity` hides, when seed and share are the same
        chosen = np.flatnonzero(
            (rng.random(len(tokens))[: len(code)] < share) & (code < 20)
        )
        wide = np.pad(code, WINDOW, constant_values=20)
        near.append(np.stack([wide[chosen + WINDOW + o] for o in offsets], axis=1))
        counts = np.bincount(code, minlength=21)[:20] - np.eye(20)[code[chosen]]
        rest.append(counts)
        truth.append(code[chosen])
        owner.append(np.full(len(chosen), number))
    return tuple(map(np.concatenate, (near, rest, truth, owner)))


def window_model(train: Sequence[str], test: Sequence[str]) -> dict[str, np.ndarray]:
    """Losses (nats) of each hidden residue of the test proteins under simple models."""
    near, rest, truth, _ = contexts(train, 0.2, seed=5)
    test_near, test_rest, test_truth, owner = contexts(test, 0.15, seed=0)
    background = np.bincount(truth, minlength=20) / len(truth)
    prior = torch.tensor(background * 20, dtype=torch.float32)

    def features(counts: np.ndarray) -> torch.Tensor:
        counts = torch.from_numpy(counts).float() + prior
        return torch.log(counts / counts.sum(1, keepdim=True))

    def fit(window: bool, own: bool) -> np.ndarray:
        torch.manual_seed(1)
        tables = torch.zeros(2 * WINDOW, 21, 20, requires_grad=True)
        mix = torch.eye(20, requires_grad=True)
        base = torch.log(torch.tensor(background, dtype=torch.float32))
        bias = (torch.zeros(20) if own else base.clone()).requires_grad_()
        parameters = [bias, *([tables] if window else []), *([mix] if own else [])]

        def logits(near: torch.Tensor, rest: torch.Tensor) -> torch.Tensor:
            out = bias.expand(len(near), 20)
            if window:
                out = out + sum(tables[o][near[:, o]] for o in range(2 * WINDOW))
            return out + rest @ mix if own else out

        optimiser = torch.optim.Adam(parameters, lr=0.02)
        x, y, r = torch.from_numpy(near), torch.from_numpy(truth), features(rest)
        steps, size = 600, 8192
        for step in range(steps):
            optimiser.param_groups[0]["lr"] = 0.02 * (1 - step / steps)
            rows = torch.randint(len(y), (size,))
            loss = F.cross_entropy(logits(x[rows], r[rows]), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        with torch.no_grad():
            out = logits(torch.from_numpy(test_near), features(test_rest))
            return F.cross_entropy(
                out, torch.from_numpy(test_truth), reduction="none"
            ).numpy()

    losses = {
        "residue frequencies": -np.log(background)[test_truth],
        "composition of the protein": fit(False, True),
        "window": fit(True, False),
        "window and composition": fit(True, True),
    }
    count = owner.max() + 1
    return {
        name: np.stack(
            [np.bincount(owner, each, count), np.bincount(owner, minlength=count)], axis=1
        )
        for name, each in losses.items()
    }


def interval(sums: np.ndarray, seed: int = 1) -> list[float]:
    """Perplexity with its 95 % interval over resampled proteins."""
    rng = np.random.default_rng(seed)
    drawn = rng.integers(len(sums), size=(1000, len(sums)))
    resampled = np.exp(sums[drawn, 0].sum(1) / sums[drawn, 1].sum(1))
    low, high = np.quantile(resampled, [0.025, 0.975])
    middle = np.exp(sums[:, 0].sum() / sums[:, 1].sum())
    return [round(float(value), 3) for value in (middle, low, high)]


def measure_perplexity(folder: Path, corpus: Path) -> None:
    """Print the perplexities on the held-out proteins."""
    parts = parts_of(folder, corpus)
    held_out = parts["held_out"]
    found = window_model(parts["train"], held_out)
    if (folder / "model.safetensors").exists():
        found["model"] = perplexity(load_masked(folder), held_out, share=0.15, seed=0)
        difference = found["window and composition"] - found["model"]
        rng = np.random.default_rng(2)
        drawn = rng.integers(len(difference), size=(1000, len(difference)))
        gain = difference[drawn, 0].sum(1) / found["model"][drawn, 1].sum(1)
        print("nats gained over window and composition:", np.quantile(gain, [0.025, 0.975]))
    print(json.dumps({name: interval(sums) for name, sums in found.items()}, indent=2))


# --- probes ----------------------------------------------------------------------------


@dataclass
class Task:
    """Proteins with a label, and the group of each that must not be divided."""

    name: str
    residues: list[str]
    labels: np.ndarray
    groups: np.ndarray
    metric: str = "accuracy"

    def split(self, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Rows of the training, validation and test part; whole groups, about 60/20/20."""
        names = np.unique(self.groups)
        if len(names) == 5:  # published parts: each is the test part once
            turn = {name: (i - seed) % 5 for i, name in enumerate(names)}
        else:
            order = np.random.default_rng(seed).permutation(len(names))
            turn = dict(zip(names[order], np.arange(len(names)) * 5 // len(names)))  # noqa: B905
        place = np.array([turn[group] for group in self.groups])
        return tuple(np.flatnonzero(np.isin(place, p)) for p in ((2, 3, 4), (1,), (0,)))


def clustered(name: str, residues: list[str], cache: Path) -> np.ndarray:
    """MMseqs2 clusters at 30 % identity over half of both sequences."""
    from omicsai.homology.mmseqs import cluster_sequences

    path = cache / f"{name}.clusters.npy"
    if not path.exists():
        np.save(path, cluster_sequences(residues, threads=2))
    return np.load(path)


def table(path: Path) -> list[dict[str, str]]:
    csv.field_size_limit(10**9)
    with path.open() as stream:
        return list(csv.DictReader(stream, delimiter="\t"))


def usable(residues: Sequence[str], *columns: Sequence) -> list[np.ndarray]:
    """Proteins in canonical form that occur once, with what belongs to them."""
    rows, seen = [], set()
    for i, raw in enumerate(residues):
        text, problem = canonical(raw, "protein")
        if not problem and text not in seen:
            seen.add(text)
            rows.append((text, *(column[i] for column in columns)))
    return [list(column) for column in zip(*rows, strict=True)]


def load_task(name: str, cache: Path) -> Task:
    """Read one of the data sets."""
    if name == "signalp":
        lines = (SHARED / "labelled/signalp_train_set.3line.txt").read_text().splitlines()
        heads = [line[1:].split("|") for line in lines[0::3]]
        labels, parts = [head[2] for head in heads], [head[3] for head in heads]
        residues, labels, parts = usable(lines[1::3], labels, parts)
        return Task(name, residues, np.array(labels), np.array(parts), "macro-F1")
    if name == "location":
        rows = table(SHARED / "deeploc/deeploc_recovered.tsv")
        labels = [row["labels"].split("|")[0] for row in rows]
        residues, labels = usable([row["sequence"] for row in rows], labels)
    elif name == "membrane":
        records = [
            record
            for file in ("deeploc_test_set.fasta", "deeploc_our_val_set.fasta")
            for record in parse_fasta(SHARED / "deeploc" / file)
            if record.header.split()[1][-1] in "MS"
        ]
        labels = [record.header.split()[1][-1] for record in records]
        residues, labels = usable([record.raw for record in records], labels)
    else:
        rows = table(SHARED / "labelled/scop40_labelled.tsv")
        residues, labels = usable(
            [row["sequence"] for row in rows], [row["superfamily"] for row in rows]
        )
        labels = np.array(labels)
        return Task(name, residues, labels, labels, "hit rate")
    return Task(name, residues, np.array(labels), clustered(name, residues, cache))


def random_model(shape: Shape) -> MaskedModel:
    """The architecture with random weights, all of unit gain."""
    model = MaskedModel(shape)
    generator = torch.Generator().manual_seed(7)
    model.initialise(generator)
    with torch.no_grad():
        for name, value in model.named_parameters():
            if name.endswith((".o.weight", ".wo.weight")):
                value.normal_(0, value.shape[1] ** -0.5, generator=generator)
    return model.eval()


def cached(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """Read what was computed before, or compute and keep it."""
    if not path.exists():
        np.save(path, make())
    return np.load(path)


def fitting_proteins(corpus: Path, selection: Path) -> list[str]:
    """Training proteins that the pooling of every model is fitted on."""
    usable = [text for text in parts_of(selection, corpus)["train"] if len(text) <= LONGEST]
    return random.Random(1).sample(usable, SAMPLE)


def standardised(X: np.ndarray, rows: np.ndarray) -> np.ndarray:
    mean, scale = X[rows].mean(0), X[rows].std(0)
    return ((X - mean) / np.where(scale > 1e-8, scale, 1)).astype(np.float32)


def logistic(
    X: torch.Tensor, y: torch.Tensor, classes: int, strength: float, start: torch.Tensor
) -> torch.Tensor:
    """Weights of a logistic regression with an L2 penalty."""
    weight = start.clone().requires_grad_()
    optimiser = torch.optim.LBFGS([weight], max_iter=80, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = F.cross_entropy(X @ weight[:-1] + weight[-1], y)
        loss = loss + strength * weight[:-1].square().sum() / 2
        loss.backward()
        return loss

    optimiser.step(closure)
    return weight.detach()


def score(task: Task, truth: np.ndarray, guess: np.ndarray) -> float:
    if task.metric == "accuracy":
        return float((truth == guess).mean())
    from sklearn.metrics import f1_score

    return float(f1_score(truth, guess, average="macro"))


def probe(task: Task, X: np.ndarray, seed: int) -> tuple[float, float]:
    """Validation and test score of a linear probe; its strength is chosen on the former."""
    train, validation, test = task.split(seed)
    names, codes = np.unique(task.labels, return_inverse=True)
    X = standardised(X, train)
    features, y = torch.from_numpy(X[train]), torch.from_numpy(codes[train])
    weight = torch.zeros(X.shape[1] + 1, len(names))
    best = (-1.0, -1.0)
    for strength in sorted(STRENGTHS, reverse=True):
        weight = logistic(features, y, len(names), strength, weight)
        guess = (torch.from_numpy(X) @ weight[:-1] + weight[-1]).argmax(1).numpy()
        both = [score(task, codes[rows], guess[rows]) for rows in (validation, test)]
        if both[0] > best[0]:  # the validation score alone decides
            best = (both[0], both[1])
    return best


def choosing(task: Task) -> np.ndarray:
    """Rows of the half of the superfamilies that settings were chosen on."""
    return np.array([sha256(str(n).encode()).digest()[0] % 2 == 0 for n in task.labels])


def nearest(task: Task, X: np.ndarray) -> np.ndarray:
    """Whether each domain's nearest neighbour (cosine) is of its superfamily.

    NaN for domains that have no other of their superfamily.
    """
    X = X / np.linalg.norm(X, axis=1, keepdims=True)
    near = np.empty(len(X), dtype=int)
    for start in range(0, len(X), 1000):
        similarity = X[start : start + 1000] @ X.T
        similarity[np.arange(len(similarity)), start + np.arange(len(similarity))] = -2
        near[start : start + 1000] = similarity.argmax(1)
    _, codes, counts = np.unique(task.labels, return_inverse=True, return_counts=True)
    return np.where(counts[codes] > 1, task.labels[near] == task.labels, np.nan)


def resampled(values: np.ndarray, groups: np.ndarray) -> list[float]:
    """Mean and its 95 % interval over resampled groups; NaN does not count."""
    there = ~np.isnan(values)
    _, codes = np.unique(groups[there], return_inverse=True)
    sums = np.bincount(codes, values[there])
    sizes = np.bincount(codes)
    drawn = np.random.default_rng(1).integers(len(sums), size=(2000, len(sums)))
    low, high = np.quantile(sums[drawn].sum(1) / sizes[drawn].sum(1), [0.025, 0.975])
    return [round(float(v), 4) for v in (values[there].mean(), low, high)]


def measure_nearest(task: Task, vectors: dict[str, np.ndarray]) -> dict[str, dict]:
    """Hit rates; the half to choose on says whether to standardise each encoder."""
    half, hits, report = choosing(task), {}, {}
    for kind, X in vectors.items():
        ways = {"as it is": X, "standardised": standardised(X, np.arange(len(X)))}
        found = {way: nearest(task, each) for way, each in ways.items()}
        way = max(found, key=lambda way: np.nanmean(found[way][half]))
        hits[kind] = found[way]
        report[kind] = {
            "way": way,
            "choosing half": round(float(np.nanmean(found[way][half])), 4),
            "other half": resampled(hits[kind][~half], task.labels[~half]),
            "all": resampled(hits[kind], task.labels),
        }
    for kind in vectors:
        apart = hits["tiny"] - hits[kind]
        report[kind]["tiny is better by, other half"] = resampled(
            apart[~half], task.labels[~half]
        )
        report[kind]["tiny is better by, all"] = resampled(apart, task.labels)
        print(task.name, kind, report[kind], flush=True)
    return report


def measure_splits(
    task: Task, vectors: dict[str, np.ndarray], seeds: int
) -> dict[str, dict]:
    """Scores of linear probes over splits, and the paired difference to `tiny`."""
    found = {}
    for kind, X in vectors.items():
        found[kind] = np.array([probe(task, X, seed) for seed in range(seeds)])
        print(
            task.name, task.metric, kind, "validation and test",
            found[kind].mean(0).round(4), "+-", found[kind].std(0, ddof=1).round(4),
            flush=True,
        )  # fmt: skip
    report = {}
    for kind, scores in found.items():
        apart = found["tiny"][:, 1] - scores[:, 1]
        spread = t.ppf(0.975, seeds - 1) * apart.std(ddof=1) / seeds**0.5
        report[kind] = {
            "validation": scores[:, 0].round(4).tolist(),
            "test": scores[:, 1].round(4).tolist(),
            "tiny is better by": [
                round(float(apart.mean() + shift), 4) for shift in (0, -spread, spread)
            ],
        }
        print(task.name, kind, report[kind]["tiny is better by"], flush=True)
    return report


def measure_probes(options: argparse.Namespace) -> None:
    """Print scores of every task and encoder, and how far `tiny` is from each."""
    cache = options.cache
    cache.mkdir(parents=True, exist_ok=True)
    fit = fitting_proteins(options.corpus, options.selection)
    models = {
        "random": random_model(load_masked(options.model).encoder.shape),
        "tiny": load_masked(options.model),
    }
    report: dict[str, dict] = {}
    for name in options.tasks:
        task = load_task(name, cache)
        vectors = {"composition": np.stack([composition(text) for text in task.residues])}
        for kind, model in models.items():
            encoder = model.encoder.to(torch.bfloat16)
            every = range(encoder.shape.num_layers + 1)
            means, fitted = (
                cached(
                    cache / f"{which}.{kind}-{options.tag}.npy",
                    partial(layer_means, encoder, residues, every),
                )[:, 1:]
                for which, residues in ((name, task.residues), ("fit", fit))
            )
            pooling = Pooling.fit(fit, fitted)
            pooled = pooling(task.residues, means)
            vectors["pairs"] = pooled[:, : len(pooling.pairs)]
            vectors[f"{kind}, means"] = means.reshape(len(means), -1)
            vectors[kind] = pooled
        if name == "superfamily":
            report[name] = measure_nearest(task, vectors)
        else:
            report[name] = measure_splits(task, vectors, options.seeds)
        if options.out:
            options.out.write_text(json.dumps(report, indent=2) + "\n")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    first = commands.add_parser("perplexity")
    first.add_argument("model", type=Path)
    first.add_argument("corpus", type=Path)
    second = commands.add_parser("probe")
    second.add_argument("model", type=Path, nargs="?", default=TINY)
    second.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    second.add_argument("--seeds", type=int, default=5)
    second.add_argument(
        "--selection", type=Path, required=True, help="folder of the run's selection.tsv"
    )
    second.add_argument(
        "--corpus", type=Path, default=SHARED / "proteins/corpus_dev_90k.fasta.xz"
    )
    second.add_argument("--cache", type=Path, default=Path("probe_cache"))
    second.add_argument("--tag", default="1", help="name of this model in the cache")
    second.add_argument("--out", type=Path, help="JSON file of all scores")
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.command == "perplexity":
        measure_perplexity(options.model, options.corpus)
    else:
        measure_probes(options)


if __name__ == "__main__":
    main()
