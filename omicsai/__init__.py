"""omicsai: from FASTA and uncertain labels to leakage-free, noise-robust classification.

The functions of every floor are available from here and imported when first used, so that
``import omicsai`` costs nothing.

Examples
--------
>>> import omicsai
>>> omicsai.sequence_digest("MKT")[:12]
'45a0f2ceb9b3'
"""

from __future__ import annotations

import importlib
from typing import Any

from omicsai.version import __version__

_HOME = {
    "read_sequences": "omicsai.sequences",
    "read_labels": "omicsai.sequences",
    "write_fasta": "omicsai.sequences",
    "check_batch": "omicsai.sequences",
    "sequence_digest": "omicsai.sequences",
    "split_sequences": "omicsai.homology",
    "cluster_sequences": "omicsai.homology",
    "read_profiles": "omicsai.domains",
    "search_domains": "omicsai.domains",
    "domain_architectures": "omicsai.domains",
    "load_encoder": "omicsai.embedding",
    "embed_sequences": "omicsai.embedding",
    "read_embeddings": "omicsai.embedding",
    "write_embeddings": "omicsai.embedding",
    "Options": "omicsai.robust",
    "train_classifier": "omicsai.robust",
    "load_classifier": "omicsai.robust",
    "save_classifier": "omicsai.robust",
    "MultiLabelOptions": "omicsai.robust",
    "train_multilabel": "omicsai.robust",
    "load_multilabel": "omicsai.robust",
    "save_multilabel": "omicsai.robust",
    "simulate": "omicsai.simulate",
}

__all__ = ["__version__", *_HOME]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'omicsai' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
