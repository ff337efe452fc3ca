"""Puts the commands together. Each command imports what it needs when it runs."""

import sys

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
    reconcile,
    recurring,
    run,
    sandbox,
    server,
    unknown,
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
app.command()(sandbox.sandbox)
app.command()(manual.kinds)
app.command()(manual.dialects)
app.command()(manual.sample)
app.command()(reconcile.reconcile)
app.command()(doctor.doctor)
app.command()(server.migrate)
app.command()(server.stop)
app.add_typer(batch.app, name="batch")
app.add_typer(payment.app, name="payment")
app.add_typer(unknown.app, name="unknown")
app.add_typer(recurring.app, name="recurring")
app.add_typer(ledger.app, name="ledger")
app.add_typer(merchant.app, name="merchant")
app.add_typer(gate.app, name="gate")
app.add_typer(card.app, name="card")
app.add_typer(customer.app, name="customer")


def run_app() -> None:
    """Run the command line; every expected error ends as a sentence, not as a traceback."""
    try:
        # Not alone: its own words for wrong usage would repeat a card number that was typed.
        code = app(prog_name="paybatch", standalone_mode=False)
    except typer.Abort:
        fail("Aborted.")
    except Exception as error:
        code = getattr(error, "exit_code", 1)
        sentence = _usage_sentence(error)
        if sentence is None:
            sentence = sentence_of(error)
        if sentence is None:
            raise
        if sentence:
            fail(sentence, code)
    sys.exit(code)


def _usage_sentence(error: Exception) -> str | None:
    """Say how a command was used wrongly; empty = its help was shown, None = another error.

    It is known by what it can do: some versions of typer bring the classes of click along, under a
    name of their own.
    """
    if not hasattr(error, "format_message"):
        return None
    said = str(error.format_message()).strip().rstrip(".")
    path = getattr(getattr(error, "ctx", None), "command_path", "paybatch")
    return f"{said}. See `{path} --help`." if said else ""
