"""One file for each payment operation; the module's name is the kind's name."""
