"""Errors that a user can act on.

Each message is one line that names the file, the record and the remedy; the command
line prints it without a traceback.
"""

from __future__ import annotations

__all__ = ["ConfigError", "InputError", "OmicsaiError", "ToolError"]


class OmicsaiError(Exception):
    """Base class of every error raised on purpose by the package."""


class InputError(OmicsaiError, ValueError):
    """A sequence file, label table or array cannot be used as it is."""


class ConfigError(OmicsaiError, ValueError):
    """The configuration or the batch table has problems."""


class ToolError(OmicsaiError, RuntimeError):
    """An external program or model is missing or failed."""
