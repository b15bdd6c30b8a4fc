"""JSON schemas of the configuration and the batch table, for editors.

``python -m omicsai.schemas FOLDER`` writes them; a test keeps the shipped ones in step.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from omicsai.batches import batches_schema
from omicsai.config import Config
from omicsai.tables import write_json

__all__ = ["schemas"]


def schemas() -> dict[str, dict[str, Any]]:
    """Make every schema, by file name."""
    return {
        "config.schema.json": Config.model_json_schema(),
        "batches.schema.json": batches_schema(),
    }


if __name__ == "__main__":
    for name, schema in schemas().items():
        write_json(Path(sys.argv[1]) / name, schema)
