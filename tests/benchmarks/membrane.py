"""DeepLoc membrane / soluble: unknown labels, calibration, and what leakage is worth.

``python -m tests.benchmarks.membrane OUT`` needs OMICSAI_SHARED. It trains on
``deeploc_our_val_set.fasta`` (1,021 proteins known to be membrane-bound or soluble, 657
unknown) and tests on the known proteins of ``deeploc_test_set.fasta`` (1,746, of which 912
have at most 434 residues). The published test set is a subset of that file (1,087 known,
539 short); which one is told by a file of ProtTrans that the project's data do not hold.

Part one: labels masked, as coin flips (the published stress test) and as pseudo labels;
cross entropy beside ProSelfLC, last and best-on-validation state, raw and calibrated.

Part two, what leakage is worth: 926 proteins of the test file (as many as the published
test file leaves out) join the training part, all of them or only those that share no 8-mer
with the rest; the rest is the test.

The published 92.4 % / 92.2 % come from ProtBert-BFD, fine-tuned; its weights are gigabytes
and were not at hand. Where they are: ``omicsai embed FASTA --encoder
Rostlab/prot_t5_xl_uniref50 --out FASTA.h5`` for both files, then
``--embeddings deeploc_our_val_set.h5 deeploc_test_set.h5``; the rest stays the same.
"""

from __future__ import annotations

import argparse
import logging
import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components
from scipy.special import softmax

from omicsai.embedding import composition, read_embeddings
from omicsai.robust import Options, fit_calibration, train_classifier
from omicsai.robust.metrics import METRICS, metric_draws, resampled_weights

WORD, ALIKE = 8, 0.05  # two proteins are related from this share of common 8-mers on
SHORT, ADDED, SEEDS = 434, 926, 5
LABELS = {"M": "membrane", "S": "soluble", "U": ""}


def read(path: Path) -> pd.DataFrame:
    """Accession, label (empty where unknown) and sequence."""
    rows = []
    for record in path.read_text().split(">")[1:]:
        header, *lines = record.split("\n")
        name, location, *_ = header.split()
        rows.append((name, LABELS[location.rsplit("-", 1)[1]], "".join(lines)))
    return pd.DataFrame(rows, columns=["id", "label", "sequence"])


def shared_words(sequences: list[str]) -> csr_array:
    """Number of common 8-mers (n, n), the diagonal their number."""
    index: dict[str, int] = {}
    rows, columns = [], []
    for i, sequence in enumerate(sequences):
        words = {sequence[k : k + WORD] for k in range(len(sequence) - WORD + 1)}
        rows += [i] * len(words)
        columns += [index.setdefault(word, len(index)) for word in sorted(words)]
    shape = (len(sequences), len(index))
    held = csr_array((np.ones(len(rows)), (rows, columns)), shape=shape)
    return (held @ held.T).tocsr()


def families(common: csr_array) -> np.ndarray:
    """Connected components of proteins that share 5 % of the shorter one's 8-mers."""
    size = common.diagonal()
    pairs = common.tocoo()
    alike = pairs.data >= ALIKE * np.minimum(size[pairs.row], size[pairs.col])
    graph = csr_array(
        (np.ones(alike.sum()), (pairs.row[alike], pairs.col[alike])), shape=common.shape
    )
    return connected_components(graph, directed=False)[1]


def measure(
    name: dict[str, Any], train: pd.DataFrame, test: pd.DataFrame, options: Options
) -> list[dict]:
    """Train five seeds and measure their means, with intervals over families."""
    held = pd.concat([train, test])
    features = np.stack(held["features"].tolist()).astype(np.float32)
    part = np.array([*train["part"], *["test"] * len(test)], dtype=object)
    cluster = held["family"].to_numpy().astype(str)
    trained = train_classifier(features, held["label"], part, cluster, None, options)
    model = trained.classifier
    code = np.array([model.classes.index(v) if v else -1 for v in held["label"]])
    judge = (part == "validation") & (code >= 0)
    logits = model.member_logits(features).astype(np.float64)
    rows = []
    for subset, longest in (("all", np.inf), (f"up to {SHORT}", SHORT)):
        length = held["sequence"].str.len().to_numpy()
        rows_in = (part == "test") & (code >= 0) & (length <= longest)
        weights = np.concatenate(
            [
                np.ones((1, rows_in.sum())),
                resampled_weights(cluster[rows_in], resamples=500, seed=1),
            ]
        )
        for calibrated in (False, True):
            drawn = []
            confidence = []
            for z in logits:
                if calibrated:
                    P = fit_calibration(z[judge], code[judge], cluster[judge])(z[rows_in])
                else:
                    P = softmax(z[rows_in], axis=1)
                drawn.append(metric_draws(P, code[rows_in], weights))
                confidence.append(P.max(axis=1).mean())
            means = {m: np.mean([d[m] for d in drawn], axis=0) for m in METRICS}
            low, high = np.percentile(means["accuracy"][1:], [2.5, 97.5])
            rows.append(
                {
                    **name,
                    "trained_on": int(((part == "train") & (code >= 0)).sum()),
                    "subset": subset,
                    "tested": int(rows_in.sum()),
                    "calibrated": calibrated,
                    **{m: means[m][0] for m in METRICS},
                    "accuracy_low": low,
                    "accuracy_high": high,
                    "confidence": np.mean(confidence),
                    "gap": np.mean(confidence) - means["accuracy"][0],
                }
            )
    print(pd.DataFrame(rows).round(4).to_string(index=False, header=False), flush=True)
    return rows


def main() -> None:
    """Run both parts and write unknown.tsv and leakage.tsv."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--embeddings", type=Path, nargs="+", default=[])
    arguments = parser.parse_args()
    logging.disable(logging.INFO)
    folder = Path(os.environ["OMICSAI_SHARED"]) / "data" / "deeploc"
    train = read(folder / "deeploc_our_val_set.fasta")
    test = read(folder / "deeploc_test_set.fasta")
    both = pd.concat([train, test], ignore_index=True)
    if arguments.embeddings:
        ids, vectors, _ = read_embeddings(*arguments.embeddings)
        place = {key: i for i, key in enumerate(ids)}
        both["features"] = [vectors[place[key]] for key in both["id"]]
    else:
        both["features"] = [composition(s) for s in both["sequence"]]
    common = shared_words(both["sequence"].tolist())
    both["family"] = families(common)
    rng = np.random.default_rng(1)
    drawn = rng.permutation(both["family"].max() + 1)[both["family"]] % 5 == 0
    both["part"] = np.where(drawn, "validation", "train")
    train, test = both[: len(train)].copy(), both[len(train) :].copy()
    # an unknown label cannot judge
    train.loc[train["label"] == "", "part"] = "train"
    arguments.out.mkdir(parents=True, exist_ok=True)

    rows = []
    for unknown in ("mask", "random", "pseudo"):
        for loss in ("cross_entropy", "proselflc"):
            for keep in ("last", "best"):
                if unknown == "pseudo" and loss != "proselflc":
                    continue
                options = Options(
                    loss=loss, head="mlp", unknown=unknown, keep=keep, members=SEEDS
                )
                name = {"unknown": unknown, "loss": loss, "state": keep}
                rows += measure(name, train, test, options)
    pd.DataFrame(rows).to_csv(arguments.out / "unknown.tsv", sep="\t", index=False)

    offset = len(train)
    order = np.random.default_rng(2).permutation(len(test))
    added, rest = np.sort(order[:ADDED]), np.sort(order[ADDED:])
    overlap = common[offset + added][:, offset + rest].max(axis=1).toarray().ravel()
    print(
        f"{(overlap > 0).sum()} of {ADDED} share an 8-mer with the rest, "
        f"{(overlap >= ALIKE * common.diagonal()[offset + added]).sum()} share 5 %"
    )
    joining = test.iloc[added].assign(part="train")
    rows = []
    for name, more in (
        ("none", joining.iloc[:0]),
        ("all, unsplit", joining),
        ("those sharing no 8-mer with test", joining[overlap == 0]),
    ):
        for loss in ("cross_entropy", "proselflc"):
            rows += measure(
                {"added": name, "loss": loss}, pd.concat([train, more]), test.iloc[rest],
                Options(loss=loss, head="mlp", members=SEEDS),
            )  # fmt: skip
    pd.DataFrame(rows).to_csv(arguments.out / "leakage.tsv", sep="\t", index=False)


if __name__ == "__main__":
    main()
