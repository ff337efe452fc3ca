"""The engine's tables."""

from importlib import resources

from django.db import migrations

_SCHEMA = resources.files("paybatch.store").joinpath("schema/0001_engine.sql")


class Migration(migrations.Migration):
    initial = True
    operations = [migrations.RunSQL(_SCHEMA.read_text("utf-8"), migrations.RunSQL.noop)]
