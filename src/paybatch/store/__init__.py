"""PostgreSQL, keys and blobs: the only place that writes state down."""
