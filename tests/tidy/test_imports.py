"""What may be imported and called where, each with what to use in its place."""

import ast
from typing import Any

# What is imported -> where it may be, and what the others use.
IMPORTS = {
    "psycopg": ("src/paybatch/store/", "take Connection and Row from paybatch.store.database"),
    "psycopg_pool": ("src/paybatch/store/", "use paybatch.store.database.Database"),
    "django": ("src/paybatch/site/", "call flow; Django stays in the site"),
    "tink": ("src/paybatch/store/", "use paybatch.store.keys"),
    "cryptography": ("src/paybatch/store/", "use paybatch.store.keys"),
    "obstore": ("src/paybatch/store/", "use paybatch.store.blobs"),
    "typer": ("src/paybatch/cli/", "return a value or raise; the command prints"),
    "rich": ("src/paybatch/cli/", "return a value or raise; the command prints"),
    "iso4217": ("src/paybatch/domain/", "use paybatch.domain.money"),
    "csv": (
        "src/paybatch/store/database.py",
        "use paybatch.domain.delimited to read, polars to write",
    ),
    "decimal": ("", "money is integer minor units: use paybatch.domain.money"),
    "random": ("", "use secrets, or take what is random as an argument"),
    "pickle": ("", "use json"),
}
# What is called -> where it may be, and what the others use.
CALLS = {
    "datetime.now": ("src/paybatch/flow/engine.py", "use engine.clock()"),
    "datetime.utcnow": ("", "use engine.clock()"),
    "date.today": ("", "use engine.clock()"),
    "datetime.today": ("", "use engine.clock()"),
    "time.time": (
        "src/paybatch/outside.py",  # its deadlines come from other machines
        "use engine.clock(), or time.monotonic() for a duration",
    ),
    "float": ("", "money is integer minor units; a duration comes from time.monotonic()"),
    "print": ("src/paybatch/cli/", "return a value or raise; the command prints"),
    "pl.format": ("", "it panics on an empty first chunk: use paybatch.domain.text.filled"),
    "eval": ("", "say what is meant"),
    "exec": ("", "say what is meant"),
}
# Modules that nobody imports by name, and who finds them.
FOUND = {
    "paybatch.__main__": "python -m paybatch",
    "paybatch.cli": "the command in pyproject.toml",
    "paybatch.flow.calls.call": "the faces of the site, which are yet to come; bench measures it",
    "paybatch.site.apps": "Django",
}
WALKED = ("paybatch.kinds.", "paybatch.dialects.", "paybatch.connectors.")
WALKED_BY_DJANGO = "paybatch.site.migrations"


def test_libraries_stand_where_they_belong(repository: Any) -> None:
    wrong = []
    for file in repository.source:
        for line, name in file.imports():
            where, advice = IMPORTS.get(name.split(".")[0], (None, ""))
            if where is not None and not (where and file.name.startswith(where)):
                wrong.append(f"{file.name}:{line} imports {name}: {advice}")
    assert not wrong, "\n".join(sorted(set(wrong)))


def test_banned_calls_are_not_made(repository: Any) -> None:
    wrong = []
    for file in repository.source:
        calls = [node for node in ast.walk(file.tree) if isinstance(node, ast.Call)]
        for call in calls:
            name = ast.unparse(call.func)
            where, advice = CALLS.get(name, (None, ""))
            if where is not None and not (where and file.name.startswith(where)):
                wrong.append(f"{file.name}:{call.lineno} calls {name}(): {advice}")
    assert not wrong, "\n".join(wrong)


def test_every_module_is_imported(repository: Any) -> None:
    imported = {name for file in repository.source for _, name in file.imports()}
    wrong = [
        f"{file.name} is imported by nothing in src: use it, or delete it"
        for file in repository.source
        if file.module not in imported
        and file.module not in FOUND
        and not file.module.startswith((*WALKED, WALKED_BY_DJANGO))
        and not file.name.endswith("/__init__.py")
    ]
    assert not wrong, "\n".join(wrong)
