"""One file for each file language; the module's name is the dialect's name."""
