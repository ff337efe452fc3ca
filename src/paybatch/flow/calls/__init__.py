"""Calls: single operations, worked at once in the caller's process."""
