"""Intake: from the bytes of a file to operations that are stored."""
