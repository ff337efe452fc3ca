"""The benchmarks: what paybatch does in a second and in how much memory, against its targets."""
