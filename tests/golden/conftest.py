"""Fixes what would differ from run to run: the keys. The clock is fixed for all tests."""

from pathlib import Path

import pytest

from paybatch.settings import Settings
from paybatch.store.keys import FILE_NAME

TEST_KEYS = Path(__file__).with_name("keys.json")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rewrite", action="store_true", help="Write the golden results anew.")


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """Give settings for a fresh database, and a home with the published test keys."""
    home = tmp_path / "home"
    keys = home / "keys" / FILE_NAME
    keys.parent.mkdir(parents=True, mode=0o700)
    keys.touch(mode=0o600)
    keys.write_bytes(TEST_KEYS.read_bytes())
    return Settings(database_url=database_url, home=home)
