"""One file for each processor we speak to; the module's name is the connector's name."""
