"""What can be wrong with the analytics. All of it is met by asking again later, once it is mended."""

from __future__ import annotations

from projections.errors import SinkUnavailableError


class AnalyticsUnavailableError(SinkUnavailableError):
    """Chroma did not take or give what was asked, within its bound."""


class AnalyticsOffError(AnalyticsUnavailableError):
    """No Chroma server is configured."""


class VectorsDifferError(AnalyticsUnavailableError):
    """A collection holds vectors of another making than the settings ask for: the two cannot be compared."""


class NoEmbeddingModelError(AnalyticsUnavailableError):
    """The text embedding model that is configured is not there, or cannot be loaded."""
