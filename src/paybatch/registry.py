"""Finds the plug-ins: every module in ``kinds``, ``dialects`` and ``connectors``.

Nothing is registered by hand. A module's name is the plug-in's name; its docstring is the manual.
"""

import importlib
import pkgutil
from dataclasses import replace
from functools import cache
from types import ModuleType

from paybatch import connectors as connectors_package
from paybatch import dialects as dialects_package
from paybatch import kinds as kinds_package
from paybatch.domain.connector import Connector
from paybatch.domain.dialect import Dialect
from paybatch.domain.fields import Field
from paybatch.domain.kind import Kind


def _modules(package: ModuleType) -> dict[str, ModuleType]:
    names = sorted(each.name for each in pkgutil.iter_modules(package.__path__))
    return {name: importlib.import_module(f"{package.__name__}.{name}") for name in names}


@cache
def kinds() -> dict[str, Kind]:
    """Give every kind by its name."""
    return {
        name: replace(module.KIND, document=module.__doc__ or "")
        for name, module in _modules(kinds_package).items()
    }


@cache
def fields() -> dict[str, Field]:
    """Give every column that a kind takes, by its name."""
    return {field.name: field for kind in kinds().values() for field in kind.fields}


@cache
def dialects() -> dict[str, Dialect]:
    """Give every dialect by its name."""
    found = {
        name: replace(module.DIALECT, document=module.__doc__ or "")
        for name, module in _modules(dialects_package).items()
    }
    ours = {name: name for name in fields()}
    return {
        name: replace(each, columns={**ours, **each.columns}) if each.has_our_columns else each
        for name, each in found.items()
    }


@cache
def connectors() -> dict[str, Connector]:
    """Give every connector by its name."""
    return {
        name: replace(module.CONNECTOR, document=module.__doc__ or "")
        for name, module in _modules(connectors_package).items()
    }
