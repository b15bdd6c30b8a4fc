"""DeepLoc membrane / soluble: unknown labels, calibration, and what leakage is worth.

``python -m tests.benchmarks.membrane WORK`` needs OMICSAI_SHARED. It trains on
``deeploc_our_val_set.fasta`` (1,021 proteins known to be membrane-bound or soluble, 657
unknown) and tests on the known proteins of the published test set: those sequences of
``deeploc_test_set.fasta`` that are not among the 926 which ProtTrans' test file lacks. That
file is not in the data, so the published set is rebuilt by the rule in `published_test`.
Validation is a fifth of the training clusters. Three ways with unknown labels: masked,
coin flips (the published stress test), and ProSelfLC's pseudo labels.

The published 92.4 % / 92.2 % come from ProtBert-BFD, fine-tuned: its weights (gigabytes)
are needed, and this script does not have them. Where they are, embed the two FASTA files by
``omicsai embed --encoder Rostlab/prot_t5_xl_uniref50`` and give the .h5 files by
``--embeddings``; everything else stays the same.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd

from omicsai.embedding import embed_sequences, load_encoder, read_embeddings
from omicsai.robust import Options, train_classifier
from omicsai.robust.metrics import metric_draws, metric_values, resampled_weights
from omicsai.sequences import read_sequences

SEEDS = (1, 2, 3, 4, 5)
