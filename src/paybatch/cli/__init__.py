"""The paybatch command."""

import os


def main() -> None:
    """Run the command line."""
    # Two threads of ours work on chunks; polars' own pool would only get in their way.
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    from paybatch.cli.app import run_app  # noqa: PLC0415 - after the setting, which polars reads

    run_app()
