"""Learning from uncertain labels: arrays in, arrays out (floor 3).

Knows features, labels and cluster ids only, so it serves proteins, tRNAs and anything else.
"""

from omicsai.robust.calibration import expected_calibration_error, fit_temperature
from omicsai.robust.losses import cross_entropy, proselflc, proselflc_target
from omicsai.robust.metrics import classification_metrics
from omicsai.robust.mislabels import corrected_labels
from omicsai.robust.model import Classifier, load_classifier, save_classifier
from omicsai.robust.neighbours import nearest_examples, neighbour_distance
from omicsai.robust.novelty import conformal_p_values, novelty_calibration
from omicsai.robust.train import HISTORY, Options, Trained, train_classifier
from omicsai.robust.trust import global_trust, local_trust

__all__ = [
    "HISTORY",
    "Classifier",
    "Options",
    "Trained",
    "classification_metrics",
    "conformal_p_values",
    "corrected_labels",
    "cross_entropy",
    "expected_calibration_error",
    "fit_temperature",
    "global_trust",
    "load_classifier",
    "local_trust",
    "nearest_examples",
    "neighbour_distance",
    "novelty_calibration",
    "proselflc",
    "proselflc_target",
    "save_classifier",
    "train_classifier",
]
