"""What can be wrong with the analytics besides a Chroma that is away."""

from __future__ import annotations

from projections.errors import SinkUnavailableError


class AnalyticsOffError(SinkUnavailableError):
    """No Chroma server is configured."""


class VectorsDifferError(SinkUnavailableError):
    """A collection holds vectors of another making than the settings ask for: the two cannot be compared."""


class NoEmbeddingModelError(SinkUnavailableError):
    """The text embedding model that is configured is not there, or cannot be loaded."""
