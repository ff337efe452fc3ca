"""Puts the commands together. Each command imports what it needs when it runs."""

import typer

from paybatch.cli import batch, demo, run, worker
from paybatch.cli.output import fail, sentence_of

app = typer.Typer(
    name="paybatch",
    help="The back office for payments by the batch.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(run.run)
app.command()(run.check)
app.command()(demo.demo)
app.command()(worker.worker)
app.add_typer(batch.app, name="batch")


def run_app() -> None:
    """Run the command line; every expected error ends as a sentence, not as a traceback."""
    try:
        app()
    except Exception as error:
        sentence = sentence_of(error)
        if sentence is None:
            raise
        fail(sentence)
