"""Words: reasons, things left undone, and the glossary."""

import ast
import re
from typing import Any

from paybatch.domain.reasons import Reason
from paybatch.settings import Settings

REASONS = "src/paybatch/domain/reasons.py"
UNDONE = re.compile(r"\b(?:FIXME|TODO)\b")
WORDS = re.compile(r"[A-Z][a-z]+")
PLAIN = {"new"}  # these need no explaining


def test_every_reason_is_used(repository: Any) -> None:
    named, told = set(), set()
    for file in repository.source:
        if file.name != REASONS:
            for node in ast.walk(file.tree):
                if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Reason":
                    named.add(node.attr)
            told |= {text.value for text in file.texts()}
    for file in repository.under("src", ".sql"):
        told |= set(re.findall(r"'([a-z_]+)'", file.text))
    wrong = [
        f"Reason.{reason.name} is never given: refuse rows with it, or delete it"
        for reason in Reason
        if reason.name not in named and reason.value not in told
    ]
    assert not wrong, "\n".join(wrong)


def test_every_reason_has_a_sentence() -> None:
    wrong = [
        f"Reason.{each.name}: say in a sentence what is allowed, without a capital and a full stop"
        for each in Reason
        if len(each.sentence.split()) < 3
        or each.sentence.endswith(".")
        or (each.sentence[0].isupper() and not each.sentence.startswith("CVV"))
    ]
    assert not wrong, "\n".join(wrong)


def test_reasons_are_unlike_each_other() -> None:
    sentences = [each.sentence for each in Reason]
    twice = {each for each in sentences if sentences.count(each) > 1}
    assert not twice, f"two reasons say the same, keep one: {sorted(twice)}"
    assert len({each.value for each in Reason}) == len(Reason)


def test_every_setting_is_used(repository: Any) -> None:
    read = {
        node.attr
        for file in repository.source
        for node in ast.walk(file.tree)
        if isinstance(node, ast.Attribute)
    }
    wrong = sorted(set(Settings.model_fields) - read)
    assert not wrong, f"settings that nobody reads, use or delete them: {', '.join(wrong)}"


def test_nothing_is_left_undone(repository: Any) -> None:
    wrong = [
        f"{file.name}:{number} leaves something undone: do it, or open an issue and say nothing"
        for file in repository.files
        if not file.name.startswith(("tests/tidy/", "examples/"))
        for number, line in enumerate(file.text.splitlines(), 1)
        if UNDONE.search(line)
    ]
    assert not wrong, "\n".join(wrong)


def is_explained(word: str, glossary: str) -> bool:
    """Tell whether the glossary uses a word, in singular or plural."""
    return re.search(rf"\b{word.rstrip('s')}(?:s|es)?\b", glossary) is not None


def test_classes_of_the_domain_use_words_of_the_glossary(repository: Any) -> None:
    (text,) = (each.text for each in repository.files if each.name == "GLOSSARY.md")
    wrong = []
    for file in repository.under("src/paybatch/domain"):
        for node in file.tree.body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                words = [word.lower() for word in WORDS.findall(node.name)]
                missing = [word for word in words if not is_explained(word, text.lower())]
                wrong += [
                    f"{file.name}:{node.lineno} {node.name}: say in GLOSSARY.md what {word!r} "
                    "means, or use a word that is there"
                    for word in missing
                    if word not in PLAIN
                ]
    assert not wrong, "\n".join(wrong)
