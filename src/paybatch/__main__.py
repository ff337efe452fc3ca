"""``python -m paybatch`` is the paybatch command."""

from paybatch.cli import main

main()
