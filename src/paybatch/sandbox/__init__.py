"""A processor in a process of its own, with books of its own; it knows nothing of the engine.

It stands in for the companies outside: it answers over HTTP and JSON, keeps one effect for each
key, and does on demand everything that goes wrong between two machines.
"""
