"""Puts the commands together. Each command imports what it needs when it runs."""

import typer

from paybatch.cli import (
    batch,
    card,
    customer,
    demo,
    doctor,
    gate,
    ledger,
    manual,
    merchant,
    payment,
    run,
    server,
    worker,
)
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
app.command()(manual.kinds)
app.command()(manual.dialects)
app.command()(manual.sample)
app.command()(doctor.doctor)
app.command()(server.migrate)
app.command()(server.stop)
app.add_typer(batch.app, name="batch")
app.add_typer(payment.app, name="payment")
app.add_typer(ledger.app, name="ledger")
app.add_typer(merchant.app, name="merchant")
app.add_typer(gate.app, name="gate")
app.add_typer(card.app, name="card")
app.add_typer(customer.app, name="customer")


def run_app() -> None:
    """Run the command line; every expected error ends as a sentence, not as a traceback."""
    try:
        app()
    except Exception as error:
        sentence = sentence_of(error)
        if sentence is None:
            raise
        fail(sentence)
