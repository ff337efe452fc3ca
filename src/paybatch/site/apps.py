"""The engine's tables as a Django app, so that there is one history of migrations."""

from django.apps import AppConfig


class EngineConfig(AppConfig):
    """Knows no models: the engine's SQL files are the schema."""

    name = "paybatch.site"
    label = "engine"
    default = True
