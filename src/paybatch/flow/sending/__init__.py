"""Sending: calls that leave the house, from their claim to what became of them."""
