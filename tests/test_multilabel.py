"""Several labels per sequence: losses, training, metrics, hierarchies, command line."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import matthews_corrcoef

from omicsai import config
from omicsai.embedding import write_embeddings
from omicsai.errors import InputError
from omicsai.robust import checkpoint as checkpoints
from omicsai.robust import multilabel as ml
from omicsai.robust import multilabel_metrics as metrics
from omicsai.robust.label_matrix import label_matrix, propagate
from omicsai.robust.multilabel_mislabels import (
    multilabel_suspects,
    suspicion,
    suspicious_entries,
)
from omicsai.robust.multilabel_model import (
    fit_label_calibration,
    is_multilabel,
    load_multilabel,
    save_multilabel,
)
from omicsai.robust.multilabel_train import (
    DECAYS,
    MULTILABEL_LOSSES,
    MultiLabelLoss,
    MultiLabelOptions,
    _fit,
    train_multilabel,
)
from omicsai.sequences.hierarchy import (
    EnzymeHierarchy,
    Hierarchy,
    read_hierarchy,
    read_obo,
)

LN2 = math.log(2)
close = {"rtol": 0, "atol": 1e-9}


def tensor(*rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def every(like: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(like, dtype=torch.bool)


# --- losses by hand ---------------------------------------------------------------------
# x = 0 gives p = 1/2, x = ln 3 gives p = 3/4; first entry positive, second negative

X = (0.0, math.log(3))
Y = (1.0, 0.0)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (ml.binary_cross_entropy, (LN2, math.log(4))),
        (ml.focal, (LN2 / 4, 9 / 16 * math.log(4))),
        (ml.asymmetric, (LN2, -(0.7**4) * math.log(0.3))),
        # sigmoid(0 - 1) = 1 / (1 + e); (1.5 - 0.75) 0.75^2
        (
            ml.hill,
            ((math.e / (1 + math.e)) ** 2 * math.log(1 + math.e), 0.75**3),
        ),
        # 0.75 > 0.6: the second entry counts as a positive that is not shifted
        (
            ml.splc,
            (
                (math.e / (1 + math.e)) ** 2 * math.log(1 + math.e),
                1 / 16 * math.log(4 / 3),
            ),
        ),
    ],
)
def test_losses_have_the_values_of_their_papers(loss, expected):
    x, y = tensor(X), tensor(Y)
    np.testing.assert_allclose(loss(x, y, every(x)).numpy()[0], expected, **close)


def test_parameters_of_the_losses_do_what_their_papers_say():
    x, y = tensor(X), tensor(Y)
    plain = ml.binary_cross_entropy(x, y, every(x))
    same = [
        ml.focal(x, y, every(x), gamma=0),
        ml.asymmetric(x, y, every(x), gamma_negative=0, clip=0),
        ml.splc(x, y, every(x), correct=False, gamma=0, margin=0),
    ]
    for loss in same:
        np.testing.assert_allclose(loss.numpy(), plain.numpy(), **close)
    moved = ml.asymmetric(x, y, every(x), gamma_positive=1)
    np.testing.assert_allclose(moved[0, 0], LN2 / 2, **close)
    before = ml.splc(x, y, every(x), correct=False)
    np.testing.assert_allclose(before[0, 1], 9 / 16 * math.log(4), **close)
    # a negative below the margin of ASL costs nothing
    assert float(ml.asymmetric(tensor([-4.0]), tensor([0.0]), every(tensor([0.0])))) == 0


def test_the_non_negative_risk_is_that_of_kiryo():
    # three examples, one positive (x = 0), others x = ln 3 and x = -ln 3; π = 1/2
    x = tensor([0.0], [math.log(3)], [-math.log(3)])
    y = tensor([1.0], [0.0], [0.0])
    u = (LN2 + math.log(4) + math.log(4 / 3)) / 3
    risk = ml.non_negative_pu(x, y, every(x), prior=tensor(0.5))
    np.testing.assert_allclose(float(risk), 0.5 * LN2 + u - 0.5 * LN2, **close)
    # a large prior makes U - π B negative: it counts as 0 ...
    x = tensor([5.0], [-5.0], [-5.0]).requires_grad_(True)
    risk = ml.non_negative_pu(x, y, every(x), prior=tensor(0.9))
    np.testing.assert_allclose(float(risk.detach()), 0.9 * math.log1p(math.exp(-5)))
    # ... and the step goes up along it: gradient of -(U - π B)
    risk.sum().backward()
    p = 1 / (1 + math.exp(-5))
    expected = [-(p / 3 - 0.9 * p), -(1 - p) / 3, -(1 - p) / 3]
    np.testing.assert_allclose(x.grad[:, 0], expected, **close)


def test_a_class_without_positives_has_no_risk_and_no_gradient():
    x = tensor([1.0, 1.0], [2.0, 2.0]).requires_grad_(True)
    y = tensor([1.0, 0.0], [0.0, 0.0])
    risk = ml.non_negative_pu(x, y, every(x), prior=torch.tensor([0.5, 0.5]))
    risk.sum().backward()
    assert float(risk.detach()[1]) == 0
    assert x.grad[:, 1].tolist() == [0, 0]


def test_the_bernoulli_target_by_hand():
    # T = 1/2: p_T = sigmoid(2 ln 3) = 9/10; h = 0.4689955936 bits
    x = tensor(X)
    trust = 1 - 0.468995593589281
    target, epsilon = ml.bernoulli_target(x, tensor(Y), 0.5, missing=True)
    np.testing.assert_allclose(epsilon[0], [0, trust / 2], **close)
    np.testing.assert_allclose(target[0], [1, 0.9 * trust / 2], **close)
    wrong, epsilon = ml.bernoulli_target(x, tensor((1.0, 1.0)), 0.5, missing=False)
    np.testing.assert_allclose(epsilon[0], [0, trust / 2], **close)
    np.testing.assert_allclose(wrong[0, 1], 1 - trust / 2 + 0.9 * trust / 2, **close)
    with pytest.raises(InputError, match="corrects none"):
        ml.bernoulli_target(x, tensor(Y), 0.5, temperature=1.0)


def test_unknown_entries_are_learned_from_only_when_asked():
    x = tensor((math.log(3), math.log(3))).requires_grad_(True)
    known = torch.tensor([[True, False]])
    y = tensor((0.0, 0.0))
    loss = ml.bernoulli_proselflc(x, y, known, 1.0)
    assert float(loss[0, 1].detach()) == 0
    loss = ml.bernoulli_proselflc(x, y, known, 1.0, pseudo=~known)
    loss.sum().backward()
    trust = 1 - 0.468995593589281
    np.testing.assert_allclose(x.grad[0, 1], trust * (0.75 - 0.9), **close)


LOSSES = {
    "bce": ml.binary_cross_entropy,
    "focal": ml.focal,
    "asl": ml.asymmetric,
    "hill": ml.hill,
    "splc": ml.splc,
    "proselflc": lambda x, y, k: ml.bernoulli_proselflc(x, y, k, 0.7, missing=False),
}


def gradient(name: str, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The formulas, written down once more in numpy."""
    p = 1 / (1 + np.exp(-x))
    m = 1 / (1 + np.exp(-(x - 1)))
    positive_focal = lambda q: (1 - q) ** 2 * (2 * q * np.log(q) - (1 - q))  # noqa: E731
    negative_focal = p**2 * (p - 2 * (1 - p) * np.log(1 - p))
    if name == "bce":
        return p - y
    if name == "focal":
        return np.where(y > 0, positive_focal(p), negative_focal)
    if name == "asl":
        s = np.maximum(p - 0.05, 0)
        slope = p * (1 - p) * (-4 * s**3 * np.log(1 - s) + s**4 / (1 - s))
        return np.where(y > 0, p - 1, slope)
    if name == "hill":
        return np.where(y > 0, positive_focal(m), (3 - 3 * p) * p * p * (1 - p))
    if name == "splc":
        corrected = np.where(p > 0.6, positive_focal(p), negative_focal)
        return np.where(y > 0, positive_focal(m), corrected)
    own = 1 / (1 + np.exp(-x / 0.5))
    entropy = -(own * np.log(own) + (1 - own) * np.log(1 - own)) / LN2
    epsilon = 0.7 * (1 - entropy)
    return (1 - epsilon) * (p - y) + epsilon * (p - own)


numbers = hnp.arrays(np.float64, (3, 4), elements=st.floats(-6, 6))
marks = hnp.arrays(np.bool_, (3, 4))


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=30)
@given(x=numbers, y=marks, known=marks)
def test_gradients_are_the_formulas_and_unknown_entries_are_silent(name, x, y, known):
    logits = torch.from_numpy(x).requires_grad_(True)
    targets = torch.from_numpy(y.astype(float))
    loss = LOSSES[name](logits, targets, torch.from_numpy(known))
    loss.sum().backward()
    value = loss.detach().numpy()
    assert (value[~known] == 0).all()
    assert (value >= 0).all()
    expected = np.where(known, gradient(name, x, targets.numpy()), 0)
    np.testing.assert_allclose(logits.grad.numpy(), expected, atol=1e-7)


@settings(max_examples=30)
@given(x=numbers, y=marks, g=st.floats(0, 1))
def test_corrected_targets_stay_between_the_label_and_the_model(x, y, g):
    logits, targets = torch.from_numpy(x), torch.from_numpy(y.astype(float))
    target, trust = ml.bernoulli_target(logits, targets, g, missing=False)
    own = torch.sigmoid(logits / 0.5)
    low, high = torch.minimum(targets, own), torch.maximum(targets, own)
    assert ((target >= low - 1e-12) & (target <= high + 1e-12)).all()
    assert ((trust >= 0) & (trust <= g)).all()
    kept, _ = ml.bernoulli_target(logits, targets, g, missing=True)
    assert (kept[targets > 0] == 1).all()


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_finite_where_probabilities_are_not(name):
    x = tensor((80.0, -80.0, 80.0, -80.0)).requires_grad_(True)
    y = tensor((1.0, 1.0, 0.0, 0.0))
    loss = LOSSES[name](x, y, every(x))
    loss.sum().backward()
    assert torch.isfinite(loss).all()
    assert torch.isfinite(x.grad).all()


# --- hierarchies ------------------------------------------------------------------------

OBO = """\
format-version: 1.2

[Term]
id: X:1
name: everything

[Term]
id: X:2
name: left
is_a: X:1 ! everything

[Term]
id: X:3
is_a: X:1 {source="x"} ! everything
alt_id: X:33

[Term]
id: X:4
is_a: X:2 ! left
relationship: part_of X:3 ! right
relationship: regulates X:5 ! not inherited

[Term]
id: X:5
is_a: X:3

[Term]
id: X:9
is_obsolete: true
replaced_by: X:4

[Typedef]
id: part_of
name: part of
"""


@pytest.fixture
def obo(tmp_path):
    path = tmp_path / "tiny.obo"
    path.write_text(OBO)
    return path


def test_an_ontology_is_read_with_its_parts_and_old_names(obo):
    tree = read_obo(obo)
    assert tree.roots == {"X:1"}
    assert tree.ancestors("X:4") == {"X:2", "X:3"}
    assert tree.ancestors("X:5") == {"X:3"}
    assert tree.name("X:33") == "X:3"
    assert tree.name("X:9") == "X:4"
    assert tree.name("Y:1") == "Y:1"
    assert Hierarchy.from_description(tree.description()) == tree


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("[Term]", "[Word]", "has no \\[Term\\]"),
        ("is_a: X:3\n", "is_a: X:7\n", "the parent 'X:7' is not in the file"),
        ("name: everything\n", "is_a: X:4\n", "is its own ancestor"),
        ("id: X:5\n", "name: five\n", "line 23: a term without id"),
    ],
)
def test_a_damaged_ontology_is_refused(tmp_path, old, new, problem):
    path = tmp_path / "bad.obo"
    path.write_text(OBO.replace(old, new))
    with pytest.raises(InputError, match=problem):
        read_obo(path)


def test_enzyme_numbers_imply_their_levels():
    tree = read_hierarchy("ec")
    assert tree.name("EC:3.4") == "3.4.-.-"
    assert tree.name("ec 2.7.7.n1") == "2.7.7.n1"
    assert tree.ancestors("3.4.21.4") == {"3.4.21.-", "3.4.-.-", "3.-.-.-"}
    assert tree.parents("3.-.-.-") == ()
    assert isinstance(Hierarchy.from_description(tree.description()), EnzymeHierarchy)
    for wrong in ("3.-.21.4", "kinase", "8.1.1.1", "3.4.21.4.5", ""):
        with pytest.raises(InputError, match="is no EC number"):
            tree.name(wrong)


def test_labels_spread_upwards_and_open_ends_are_unknown(obo):
    found = label_matrix(["3.4.-.-;1.1.1.1", "", "3.4.21.4"], read_hierarchy("ec"))
    column = {name: i for i, name in enumerate(found.classes)}
    below = [column["3.4.21.-"], column["3.4.21.4"]]
    assert found.truth.sum(axis=1).tolist() == [6, 0, 4]
    assert not found.known[0, below].any()
    assert found.known[0].sum() == len(column) - 2
    assert not found.known[1].any()
    assert found.known[2].all()
    # a root alone says that nothing is known; a name from elsewhere is a flat label
    found = label_matrix(["X:9", "X:1", "X:1;X:2", "other;;"], read_obo(obo))
    assert found.classes == ["X:2", "X:3", "X:4", "other"]
    assert found.truth.tolist() == [[1, 1, 1, 0], [0] * 4, [1, 0, 0, 0], [0, 0, 0, 1]]
    assert found.known.tolist() == [[1] * 4, [0, 0, 0, 1], [1, 0, 0, 1], [1] * 4]
    assert found.parents == [[], [], [0, 1], []]


def test_flat_cells_lose_blanks_and_repeats():
    found = label_matrix(["b;;a", "a; a ;", ";", ""])
    assert found.classes == ["a", "b"]
    assert found.truth.tolist() == [[1, 1], [1, 0], [0, 0], [0, 0]]
    assert found.known.any(axis=1).tolist() == [True, True, False, False]


@st.composite
def trees(draw):
    """Parents of each label, only among later ones, so without cycles."""
    size = draw(st.integers(1, 8))
    return [
        sorted(draw(st.sets(st.integers(i + 1, size - 1)))) if i + 1 < size else []
        for i in range(size)
    ]


@given(parents=trees(), data=st.data())
def test_a_parent_is_never_below_a_child(parents, data):
    shape = (3, len(parents))
    values = data.draw(hnp.arrays(np.float64, shape, elements=st.floats(0, 1)))
    raised = propagate(values, parents)
    assert (raised >= values).all()
    for child, above in enumerate(parents):
        for parent in above:
            assert (raised[:, parent] >= raised[:, child]).all()
    np.testing.assert_array_equal(propagate(raised, parents), raised)
    assert set(raised.ravel()) <= set(values.ravel())


# --- metrics ----------------------------------------------------------------------------

# two proteins, three labels; by hand at 0.5: P {a} of T {a, b}, P {b, c} of T {c}
SCORES = np.array([[0.9, 0.4, 0.1], [0.2, 0.6, 0.5]])
TRUTH = np.array([[1, 1, 0], [0, 0, 1]])


def test_fmax_and_smin_by_hand():
    at_half = np.array([0.5])
    f, tau = metrics.fmax(SCORES, TRUTH, thresholds=at_half)
    precision, recall = (1 + 0.5) / 2, (0.5 + 1) / 2
    assert tau[0] == 0.5
    assert f[0] == pytest.approx(2 * precision * recall / (precision + recall))
    # at 0.4 both of the first protein: precision 0.75, recall 1
    f, tau = metrics.fmax(SCORES, TRUTH)
    assert f[0] == pytest.approx(2 * 0.75 / 1.75)
    assert tau[0] == pytest.approx(0.21)
    bits = np.array([1.0, 2.0, 3.0])
    s = metrics.smin(SCORES, TRUTH, bits, thresholds=at_half)
    assert s[0] == pytest.approx(math.hypot(2 / 2, 2 / 2))  # b missed; b too many


def test_unlabelled_proteins_and_unknown_entries_do_not_count():
    P = np.vstack([SCORES, [[0.9, 0.9, 0.9]]])
    Y = np.vstack([TRUTH, [[0, 0, 0]]])
    assert metrics.fmax(P, Y)[0] == metrics.fmax(SCORES, TRUTH)[0]
    known = np.ones(SCORES.shape, dtype=bool)
    known[1, 1] = False
    f, _ = metrics.fmax(SCORES, TRUTH, known)
    assert f[0] == 1.0
    assert metrics.micro_average_precision(SCORES, TRUTH, known)[0] == 1.0


def test_information_accretion_counts_only_where_the_parents_are():
    # b under a: a in 3 of 4, b in 1 of the 3 with a
    Y = np.array([[1, 1], [1, 0], [1, 0], [0, 0]])
    found = metrics.information_accretion(Y, [[], [0]])
    np.testing.assert_allclose(found, [-math.log2(3 / 4), math.log2(3)])
    flat = metrics.information_accretion(Y)
    np.testing.assert_allclose(flat, [-math.log2(3 / 4), 2])


@settings(max_examples=30)
@given(
    P=hnp.arrays(np.float64, (6, 3), elements=st.sampled_from([0.1, 0.3, 0.5, 0.9])),
    Y=hnp.arrays(np.bool_, (6, 3)),
)
def test_average_precision_is_that_of_scikit_learn(P, Y):
    from sklearn.metrics import average_precision_score

    if Y.any():
        expected = average_precision_score(Y.ravel(), P.ravel())
        assert metrics.micro_average_precision(P, Y)[0] == pytest.approx(expected)
        some = Y.any(axis=0)
        expected = average_precision_score(Y[:, some], P[:, some], average="macro")
        assert metrics.macro_average_precision(P, Y)[0] == pytest.approx(expected)
        called = P >= 0.4
        expected = np.mean(
            [matthews_corrcoef(Y[:, c], called[:, c]) for c in np.flatnonzero(some)]
        )
        assert metrics.macro_mcc(called, Y)[0] == pytest.approx(expected)


def test_weights_of_a_resample_are_repeats():
    rng = np.random.default_rng(3)
    P, Y = rng.random((8, 4)).round(2), rng.random((8, 4)) < 0.4
    Y[:, 0] = True
    w = np.array([2, 0, 1, 3, 0, 1, 1, 2])
    again = np.repeat(np.arange(8), w)
    bits = np.array([1.0, 0.5, 2.0, 3.0])
    K = np.ones(P.shape, dtype=bool)
    pairs = [
        (metrics.fmax(P, Y, weights=w[None])[0], metrics.fmax(P[again], Y[again])[0]),
        (
            metrics.smin(P, Y, bits, weights=w[None]),
            metrics.smin(P[again], Y[again], bits),
        ),
        (
            metrics.micro_average_precision(P, Y, weights=w[None]),
            metrics.micro_average_precision(P[again], Y[again]),
        ),
        (
            metrics.macro_average_precision(P, Y, weights=w[None]),
            metrics.macro_average_precision(P[again], Y[again]),
        ),
        (
            metrics.macro_mcc(P > 0.5, Y, K, weights=w[None]),
            metrics.macro_mcc(P[again] > 0.5, Y[again]),
        ),
    ]
    for weighted, repeated in pairs:
        np.testing.assert_allclose(weighted, repeated)


def test_thresholds_maximise_mcc_and_rare_labels_share_one():
    p = np.linspace(0.05, 0.95, 10)
    P = np.column_stack([p, p / 2, p])
    Y = np.column_stack([p > 0.5, p > 0.5, p > 0.9])
    K = np.ones(P.shape, dtype=bool)
    threshold, mcc = metrics.best_thresholds(P, Y, K)
    np.testing.assert_allclose(threshold[:2], [0.5, 0.25])
    np.testing.assert_allclose(mcc[:2], 1)
    assert np.isnan(mcc[2])  # one positive
    flat = P.ravel(), Y.ravel()
    tried = [matthews_corrcoef(flat[1], flat[0] >= t) for t in np.unique(flat[0])]
    reached = matthews_corrcoef(flat[1], flat[0] >= threshold[2])
    assert reached == pytest.approx(max(tried))
    # an unknown entry does not count: the tenth example alone parts them
    K[5, 0] = False
    assert metrics.best_thresholds(P, Y, K)[0][0] == threshold[2]


# --- calibration ------------------------------------------------------------------------


def test_calibration_undoes_a_common_scale_and_shift():
    rng = np.random.default_rng(5)
    truth_logits = rng.normal(-1, 2, (4000, 3))
    Y = rng.random(truth_logits.shape) < 1 / (1 + np.exp(-truth_logits))
    K = rng.random(Y.shape) < 0.8
    slope, offset = fit_label_calibration(truth_logits * 3 + 2, Y, K, np.arange(4000))
    np.testing.assert_allclose(slope, 1 / 3, atol=0.03)
    np.testing.assert_allclose(offset, -2 / 3, atol=0.15)


def test_a_label_without_positives_is_calibrated_like_the_others():
    rng = np.random.default_rng(6)
    z = rng.normal(-1, 2, (500, 4))
    Y = rng.random(z.shape) < 1 / (1 + np.exp(-z))
    K = np.ones(Y.shape, dtype=bool)
    K[:, 3] = False  # nothing is known of it
    slope, offset = fit_label_calibration(z, Y, K, np.arange(500))
    assert (slope > 0).all()
    assert abs(slope[3] - slope[:3].mean()) < 0.2
    assert abs(offset[3] - offset[:3].mean()) < 0.2


# --- suspected annotation ---------------------------------------------------------------


def test_softmin_is_near_the_worst_entry():
    P = np.array([[0.9, 0.1], [0.9, 0.8], [np.nan, np.nan]])
    Y = np.array([[1, 0], [1, 0], [1, 0]], dtype=bool)
    K = np.ones(Y.shape, dtype=bool)
    found = suspicion(P, Y, K)
    e = math.exp(-7)  # softmax of (1 - 0.9, 1 - 0.2) / 0.1
    np.testing.assert_allclose(found[:2], [0.9, (0.9 * e + 0.2) / (1 + e)])
    assert np.isnan(found[2])
    K[1, 1] = False
    assert suspicion(P, Y, K)[1] == pytest.approx(0.9)


def test_missing_and_wrong_labels_are_told_apart():
    P = np.array([[0.9, 0.1], [0.8, 0.2], [0.95, 0.1], [0.05, 0.9], [0.1, 0.05]])
    Y = np.array([[1, 0], [1, 0], [0, 0], [0, 1], [1, 1]], dtype=bool)
    K = np.ones(Y.shape, dtype=bool)
    missing, wrong = suspicious_entries(P, Y, K)
    assert np.argwhere(missing).tolist() == [[2, 0]]
    assert np.argwhere(wrong).tolist() == [[4, 0]]  # the second label is not known
    P[4, 1] = 0.12
    assert np.argwhere(suspicious_entries(P, Y, K)[1]).tolist() == [[4, 0], [4, 1]]
    K[2, 0] = False  # of what is unknown nothing is missing
    assert not suspicious_entries(P, Y, K)[0].any()
    # the only example of a label keeps it
    one = suspicious_entries(P[:, 1:], np.eye(5, 1, -4, dtype=bool), K[:, 1:])[1]
    assert not one.any()


# --- training ---------------------------------------------------------------------------

QUICK = MultiLabelOptions(
    head="linear", members=2, epochs=15, batch_size=32, learning_rate=0.01, weight_decay=1.0
)


@pytest.fixture(scope="module")
def made() -> SimpleNamespace:
    """320 examples in clusters of four; five labels that follow from the features."""
    rng = np.random.default_rng(11)
    cluster = np.repeat(np.arange(80), 4)
    centre = rng.normal(size=(80, 12))[cluster]
    X = (centre + 0.3 * rng.normal(size=(320, 12))).astype(np.float32)
    truth = X @ rng.normal(size=(12, 5)) + np.array([-1, -2, -4, -1, -3]) > 0
    names = np.array(["1.1.1.1", "1.1.1.2", "1.2.1.1", "2.1.1.1", "3.1.1.1"])
    cells = [";".join(names[row]) for row in truth]
    part = np.array(["train", "train", "train", "validation", "test"])[cluster % 5]
    fold = np.where(part == "train", cluster % 3 + 1, 0)
    return SimpleNamespace(
        X=X, truth=truth, names=names, cells=cells, part=part, cluster=cluster, fold=fold
    )


def trained_on(made, cells=None, options=QUICK, fold=None, hierarchy=None):
    cells = made.cells if cells is None else cells
    return train_multilabel(
        made.X, cells, made.part, made.cluster, fold, options, hierarchy
    )


def test_training_learns_and_repeats_itself(made):
    first, again = (trained_on(made, fold=made.fold) for _ in range(2))
    np.testing.assert_array_equal(first.held_out_logits, again.held_out_logits)
    np.testing.assert_array_equal(first.classifier.threshold, again.classifier.threshold)
    assert first.history.equals(again.history)
    test = made.part == "test"
    P = first.classifier.calibrated(first.classifier.logits(made.X[test]))
    Y = made.truth[test]
    frequency = np.tile(made.truth[made.part == "train"].mean(axis=0), (test.sum(), 1))
    known = Y.any(axis=1)
    reached = metrics.micro_average_precision(P[known], Y[known])[0]
    assert reached > metrics.micro_average_precision(frequency[known], Y[known])[0] + 0.3
    assert metrics.macro_mcc(first.classifier.called(P), Y)[0] > 0.6
    judged = first.labels.known.any(axis=1)
    assert np.isfinite(first.held_out_logits[judged]).all()
    assert np.isnan(first.held_out_logits[test]).all()


def test_labels_of_the_test_part_and_of_the_own_fold_are_not_looked_at(made):
    base = trained_on(made, fold=made.fold)
    other = np.array(made.cells, dtype=object)
    other[made.part == "test"] = "9.9.9.9"
    moved = trained_on(made, list(other), fold=made.fold)
    np.testing.assert_array_equal(base.held_out_logits, moved.held_out_logits)
    mine = (made.fold == 2) & (other != "")
    other[mine] = np.roll(other[mine], 5)
    moved = trained_on(made, list(other), fold=made.fold)
    np.testing.assert_array_equal(base.held_out_logits[mine], moved.held_out_logits[mine])
    others = (made.fold == 1) & base.labels.known.any(axis=1)
    assert (base.held_out_logits[others] != moved.held_out_logits[others]).any()


@pytest.mark.parametrize("loss", MULTILABEL_LOSSES)
@pytest.mark.parametrize("head", ["linear", "mlp"])
def test_every_loss_trains_every_head(made, loss, head):
    options = replace(QUICK, loss=loss, head=head, hidden=32)
    found = trained_on(made, options=options)
    test = made.part == "test"
    P = found.classifier.calibrated(found.classifier.logits(made.X[test]))
    some = made.truth[test].any(axis=1)
    reached = metrics.micro_average_precision(P[some], made.truth[test][some])[0]
    assert reached > 0.6
    if loss == "proselflc":
        assert 0.02 <= found.classifier.settings["transit"] <= 0.5


def test_the_model_can_learn_from_its_own_view_of_unknown_entries(made):
    cells = np.array(made.cells, dtype=object)
    cells[(made.cluster % 2 == 0) & (made.part == "train")] = "1.-.-.-"
    options = replace(QUICK, loss="proselflc", transit=0.3)
    found = [
        trained_on(made, cells, replace(options, unknown=how), hierarchy=EnzymeHierarchy())
        for how in ("mask", "pseudo")
    ]
    masked, pseudo = (
        one.held_out_logits[(made.part == "validation") & (cells != "")] for one in found
    )
    assert np.isfinite(pseudo).all()
    assert (masked != pseudo).any()


def test_pseudo_labels_are_learned_from_own_rows_alone(made):
    rng = np.random.default_rng(5)
    X, Y = torch.from_numpy(made.X), torch.from_numpy(made.truth.astype(np.float32))
    K = torch.from_numpy(rng.random(made.truth.shape) < 0.5)
    mine = made.cluster % 3 > 0
    options = replace(QUICK, loss="proselflc", transit=0.3, unknown="pseudo", epochs=3)
    masks = [np.ones(len(X), dtype=bool), mine]
    before, _ = _fit(X, Y, K, masks, replace(options, members=2), {})
    X = X.clone()
    X[torch.from_numpy(~mine)] += 1
    after, _ = _fit(X, Y, K, masks, replace(options, members=2), {})
    assert (before["weight"][0] != after["weight"][0]).any()
    assert torch.equal(before["weight"][1], after["weight"][1])


def test_pilot_runs_choose_the_decay_and_are_recorded(made):
    found = trained_on(made, options=replace(QUICK, weight_decay=None, epochs=5))
    assert found.classifier.settings["weight_decay"] in DECAYS
    assert found.classifier.settings["task"] == "multi"


def test_an_interrupted_run_goes_on_to_the_same_bits(made, tmp_path, monkeypatch):
    options = replace(
        QUICK, loss="proselflc", head="mlp", hidden=8, weight_decay=None, epochs=5
    )
    whole = trained_on(made, options=options, fold=made.fold)
    monkeypatch.setattr(checkpoints, "SAVE_EVERY_SECONDS", 0)
    saves = []

    def save_and_stop(self, state, epoch, history, save=checkpoints.Checkpoint.save):
        save(self, state, epoch, history)
        saves.append((self.path.stem, epoch))
        if len(saves) % 4 == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoints.Checkpoint, "save", save_and_stop)
    for _ in range(20):
        try:
            found = train_multilabel(
                made.X, made.cells, made.part, made.cluster, made.fold, options,
                checkpoints=tmp_path / "state",
            )  # fmt: skip
            break
        except KeyboardInterrupt:
            continue
    runs = [f"pilot.{decay:g}" for decay in DECAYS] + ["train"]
    assert saves == [(run, epoch) for run in runs for epoch in range(1, 6)]
    np.testing.assert_array_equal(found.held_out_logits, whole.held_out_logits)
    np.testing.assert_array_equal(found.classifier.threshold, whole.classifier.threshold)
    assert found.history.equals(whole.history)
    assert found.pilot.equals(whole.pilot)


def test_planted_missing_and_wrong_labels_are_found(made):
    rng = np.random.default_rng(2)
    matrix = label_matrix(made.cells, None, list(made.names))
    labelled = matrix.truth.sum(axis=1) > 1
    row = rng.permutation(np.flatnonzero(labelled & (made.part == "train")))[:25]
    noisy = matrix.truth.copy()
    gone = [int(rng.choice(np.flatnonzero(noisy[r]))) for r in row]
    noisy[row, gone] = False
    cells = [";".join(made.names[y]) for y in noisy]
    found = trained_on(made, cells, fold=made.fold)
    P = found.classifier.calibrated(found.held_out_logits)
    examples = pd.DataFrame(
        {
            "id": [f"P{i}" for i in range(len(P))],
            "part": made.part,
            "cluster": made.cluster.astype(str),
            "label": cells,
        }
    )
    suspects = multilabel_suspects(
        P, found.labels.truth, found.labels.known, found.classifier.classes, examples
    )
    missing = suspects[suspects["problem"] == "missing"]
    named = set(zip(missing["id"], missing["label"], strict=True))
    planted = {(f"P{r}", str(made.names[c])) for r, c in zip(row, gone, strict=True)}
    assert len(named) < 60
    assert len(named & planted) >= 10
    assert suspects["problem"].is_monotonic_increasing  # missing first
    assert (missing["probability"].diff().dropna() <= 0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cells": ["1.1.1.1"] * 320}, "0 labels of the training part tell sequences"),
        ({"cells": [""] * 320}, "all labels unknown"),
        ({"part": ["train"] * 320}, "no sequence of the validation part has a label"),
        ({"X": np.full((320, 12), np.nan, np.float32)}, "NaN or infinity"),
        ({"fold": np.ones(320)}, "a cross-fitting fold leaves no labelled example"),
        ({"options": replace(QUICK, annotated=0.0)}, "annotated is a share above 0"),
        ({"options": replace(QUICK, unknown="pseudo")}, "unknown labels are mask with"),
    ],
)
def test_bad_input_is_refused_with_a_reason(made, change, message):
    given = {
        "X": made.X, "cells": made.cells, "part": made.part, "cluster": made.cluster,
        "fold": None, "options": QUICK, **change,
    }  # fmt: skip
    with pytest.raises(InputError, match=message):
        train_multilabel(*given.values())


def test_labels_that_all_have_are_left_out_with_a_warning(made, caplog):
    cells = [f"{cell};common" if cell else "" for cell in made.cells]
    found = trained_on(made, cells)
    assert found.classifier.classes == list(made.names)
    assert "every known training sequence has are left out: common" in caplog.text


# --- command line -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(made, tmp_path_factory, run_omicsai):
    """A model of EC numbers with its control, trained from files."""
    root = tmp_path_factory.mktemp("multilabel")
    ids = [f"P{i:03d}" for i in range(len(made.X))]
    write_embeddings(root / "e.h5", ids, made.X, {"encoder": "made"})
    cells = list(made.cells)
    cells[0] = "EC:1.1.-.-;;2.1.1.1"
    table = pd.DataFrame({"id": ids, "label": cells})
    table.to_csv(root / "labels.tsv", sep="\t", index=False)
    pd.DataFrame(
        {"id": ids, "part": made.part, "cluster": made.cluster, "fold": made.fold}
    ).to_csv(root / "split.tsv", sep="\t", index=False)
    common = [
        "train", "--embeddings", root / "e.h5", "--labels", root / "labels.tsv",
        "--split", root / "split.tsv", "--members", "2", "--epochs", "10",
    ]  # fmt: skip
    multi = [*common, "--task", "multi", "--hierarchy", "ec", "--weight-decay", "1"]
    loss = ["--multilabel-loss", "proselflc"]
    assert run_omicsai(*multi, *loss, "--out", root / "model") == 0
    assert run_omicsai(*multi, "--out", root / "control") == 0
    return SimpleNamespace(root=root, common=common, multi=multi, ids=ids)


def test_a_model_folder_is_read_back_as_it_was(folder):
    assert is_multilabel(folder.root / "model")
    model = load_multilabel(folder.root / "model")
    assert "3.-.-.-" in model.classes
    assert model.settings["loss"] == "proselflc"
    save_multilabel(model, folder.root / "again")
    for name in ("weights.safetensors", "model.json", "multilabel.json"):
        first, second = (folder.root / f / name for f in ("model", "again"))
        assert first.read_bytes() == second.read_bytes()
    (folder.root / "again/multilabel.json").write_text("{}")
    with pytest.raises(InputError, match=r"multilabel.json is missing or damaged"):
        load_multilabel(folder.root / "again")


def test_predictions_list_the_labels_called_with_all_they_imply(folder, run_omicsai):
    out = folder.root / "predictions.tsv"
    model, vectors = folder.root / "model", folder.root / "e.h5"
    assert run_omicsai("predict", model, "--embeddings", vectors, "--out", out) == 0
    table = pd.read_csv(out, sep="\t", keep_default_na=False)
    assert list(table["id"]) == folder.ids
    tree = EnzymeHierarchy()
    for row in table.itertuples():
        labels = row.label.split(";") if row.label else []
        shown = [float(p) for p in str(row.probability).split(";") if p]
        assert len(labels) == len(shown)
        assert shown == sorted(shown, reverse=True)
        for label in labels:
            assert tree.ancestors(label) <= {*labels, *_universal(folder)}
        assert row.runner_up not in labels
    assert (table["label"] != "").mean() > 0.5


def _universal(folder) -> set[str]:
    """Levels that are no label of the model, such as 2.1.-.- beside 2.1.1.1 alone."""
    model = load_multilabel(folder.root / "model")
    every = {a for name in model.classes for a in EnzymeHierarchy().ancestors(name)}
    return every - set(model.classes)


def test_evaluation_has_metrics_intervals_and_a_control(folder, run_omicsai):
    root, out = folder.root, folder.root / "evaluation"
    command = [
        "evaluate", root / "model", "--embeddings", root / "e.h5", "--labels",
        root / "labels.tsv", "--control", root / "control", "--resamples", "100",
    ]  # fmt: skip
    assert run_omicsai(*command, "--out", out) == 0
    found = json.loads((out / "metrics.json").read_text())
    assert found["task"] == "multi"
    assert found["loss"] == "proselflc"
    assert found["control"]["loss"] == "bce"
    for name in metrics.MULTILABEL_METRICS:
        low, high = found["intervals"][name]
        assert low <= found[name] <= high
    assert found["fmax"] > 0.6
    tested = pd.read_csv(out / "tested.tsv", sep="\t")
    assert len(tested) == found["sequences"]
    counts = pd.read_csv(out / "confusion.tsv", sep="\t")
    columns = ["given_called", "given_missed", "not_given_called", "not_given_not_called"]
    assert (counts[columns].sum(axis=1) <= found["sequences"]).all()


def test_one_label_and_several_are_told_apart(folder, run_omicsai, capsys):
    single, out = folder.root / "single", folder.root / "wrong"
    assert run_omicsai(*folder.common, "--out", single) == 0
    assert "--task multi, learns them" in capsys.readouterr().err
    assert not is_multilabel(single)
    command = [
        "evaluate", folder.root / "model", "--embeddings", folder.root / "e.h5",
        "--labels", folder.root / "labels.tsv", "--out", out,
    ]  # fmt: skip
    assert run_omicsai(*command, "--control", single) == 1
    assert "train both with the same train.task" in capsys.readouterr().err
    wrong = folder.root / "wrong.tsv"
    text = (folder.root / "labels.tsv").read_text()
    wrong.write_text(text.replace("EC:1.1.-.-", "kinase"))
    command = [wrong if x == folder.root / "labels.tsv" else x for x in folder.multi]
    assert run_omicsai(*command, "--out", out) == 1
    assert "the label 'kinase' is no EC number" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--loss", "proselflc"], "no loss"),
        (["--mislabels", "drop"], "no mislabels"),
        (["--keep", "best"], "no keep"),
        (["--unknown", "random"], "mask or pseudo"),
    ],
)
def test_options_without_meaning_are_refused(option, message, folder, run_omicsai, capsys):
    assert run_omicsai(*folder.multi, *option, "--out", folder.root / "idle") == 1
    assert message in capsys.readouterr().err


def test_names_of_losses_agree():
    assert get_args(config.MultiLabelLoss) == get_args(MultiLabelLoss)
    assert set(config.TrainOptions.model_fields) >= config.MULTILABEL_ONLY
