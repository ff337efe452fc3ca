"""paybatch: the back office for payments by the batch."""

__version__ = "0.1.0"
