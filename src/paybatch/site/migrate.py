"""Brings a database to the newest schema: the engine's tables and the work queue's."""

from typing import Any

import django
from django.conf import settings
from django.core.management import call_command
from psycopg.conninfo import conninfo_to_dict


def _django_database(url: str) -> dict[str, Any]:
    parts = {key: str(value) for key, value in conninfo_to_dict(url).items() if value}
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
    """Run every migration that is not run yet. Two at once wait for each other.

    Must be called once in a process: Django's settings are made from the first address.
    """
    settings.configure(
        DATABASES={"default": _django_database(url)},
        INSTALLED_APPS=["procrastinate.contrib.django", "paybatch.site"],
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
        LOGGING_CONFIG=None,
    )
    django.setup()
    call_command("migrate", verbosity=0, interactive=False)
