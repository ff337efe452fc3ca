"""A host's process: a command of paybatch as it is, with its waits cut short.

``python tests/machines/host.py worker --port 0 ...``; how short they are stands in the environment.
"""

from bench.chaos.timings import hasten

from paybatch.cli.app import run_app
from paybatch.flow import worker

EVERY_SECOND = "* * * * * */1"

if __name__ == "__main__":
    hasten()
    worker.EVERY_MINUTE = EVERY_SECOND
    run_app()
