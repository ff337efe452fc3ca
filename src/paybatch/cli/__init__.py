"""The paybatch command."""
