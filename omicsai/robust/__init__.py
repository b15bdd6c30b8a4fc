"""Learning from uncertain labels: arrays in, arrays out (floor 3).

Knows features, labels and cluster ids only, so it serves proteins, tRNAs and anything else.
"""

from omicsai.robust.calibration import (
    Calibration,
    expected_calibration_error,
    fit_calibration,
)
from omicsai.robust.conformal import (
    benjamini_hochberg,
    conformal_p_values,
    prediction_sets,
)
from omicsai.robust.detection import Detector, fit_detector
from omicsai.robust.losses import (
    bootstrap_hard,
    confidence_penalty,
    cross_entropy,
    derivative_manipulation,
    emphasis,
    generalised_cross_entropy,
    imae,
    label_correction,
    label_smoothing,
    mean_absolute_error,
    mean_squared_error,
    proselflc,
    proselflc_target,
    symmetric_cross_entropy,
)
from omicsai.robust.metrics import classification_metrics
from omicsai.robust.mislabels import corrected_labels
from omicsai.robust.model import Classifier, load_classifier, save_classifier
from omicsai.robust.multilabel_metrics import label_metrics
from omicsai.robust.multilabel_model import (
    MultiLabelClassifier,
    load_multilabel,
    save_multilabel,
)
from omicsai.robust.multilabel_train import MultiLabelOptions, train_multilabel
from omicsai.robust.neighbours import nearest_examples, neighbour_distance
from omicsai.robust.novelty import novelty_calibration
from omicsai.robust.options import LOSSES, Options
from omicsai.robust.remembering import elr, elr_memory, sop
from omicsai.robust.train import HISTORY, Trained, train_classifier
from omicsai.robust.trust import global_trust, local_trust

__all__ = [
    "HISTORY",
    "LOSSES",
    "Calibration",
    "Classifier",
    "Detector",
    "MultiLabelClassifier",
    "MultiLabelOptions",
    "Options",
    "Trained",
    "benjamini_hochberg",
    "bootstrap_hard",
    "classification_metrics",
    "confidence_penalty",
    "conformal_p_values",
    "corrected_labels",
    "cross_entropy",
    "derivative_manipulation",
    "elr",
    "elr_memory",
    "emphasis",
    "expected_calibration_error",
    "fit_calibration",
    "fit_detector",
    "generalised_cross_entropy",
    "global_trust",
    "imae",
    "label_correction",
    "label_metrics",
    "label_smoothing",
    "load_classifier",
    "load_multilabel",
    "local_trust",
    "mean_absolute_error",
    "mean_squared_error",
    "nearest_examples",
    "neighbour_distance",
    "novelty_calibration",
    "prediction_sets",
    "proselflc",
    "proselflc_target",
    "save_classifier",
    "save_multilabel",
    "sop",
    "symmetric_cross_entropy",
    "train_classifier",
    "train_multilabel",
]
