"""``make chaos``: rows in, effects out, whatever breaks in between.

A run is born from a seed: files in chains, single calls beside them, a processor outside with every
fault, and kills. At the end the processor's books are held against ours.
"""
