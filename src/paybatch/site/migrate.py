"""Brings a database to the newest schema: the engine's tables and the work queue's."""

from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from django.db import connections

from paybatch.store.database import parts_of_url


def _django_database(url: str) -> dict[str, Any]:
    parts = parts_of_url(url)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", ""),
        "USER": parts.pop("user", ""),
        "PASSWORD": parts.pop("password", ""),
        "HOST": parts.pop("host", ""),
        "PORT": parts.pop("port", ""),
        "OPTIONS": parts,
    }


def migrate(url: str) -> None:
    """Run every migration that is not run yet."""
    if not settings.configured:
        settings.configure(
            DATABASES={"default": _django_database(url)},
            INSTALLED_APPS=["procrastinate.contrib.django", "paybatch.site"],
            USE_TZ=True,
            DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
            LOGGING_CONFIG=None,
        )
        django.setup()
    connections["default"].close()
    connections["default"].settings_dict.update(_django_database(url))
    try:
        call_command("migrate", verbosity=0, interactive=False)
    finally:
        connections["default"].close()
