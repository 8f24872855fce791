"""Pages of the manual as the commands that they tell somebody to type."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    str(page.relative_to(ROOT)): page.read_text(encoding="utf-8")
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
}
FENCE = re.compile(
    r"(?:^<!-- not run: (?P<why>.+) -->\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
ENDS = {"&&", "||", "|", ";", "&", ";;"}


@dataclass(frozen=True)
class Block:
    """What is fenced on a page."""

    line: int
    kind: str
    """sh, python, toml, ..."""
    text: str
    why_not: str
    """why it is not run; "" is run"""


def blocks(page: str) -> Iterator[Block]:
    for found in FENCE.finditer(PAGES[page]):
        line = PAGES[page].count("\n", 0, found.start("text")) + 1
        yield Block(line, found["kind"], found["text"], found["why"] or "")


def lines(block: Block) -> Iterator[str]:
    """Each line of shell, whole where it was continued."""
    for line in block.text.replace("\\\n", " ").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line


@dataclass(frozen=True)
class Command:
    """One program of a line of shell."""

    words: list[str]
    joined: str
    """to the one before: "", &&, ||, |, ; or &"""
    into: str
    """file that its output goes to, or nothing"""


def parsed(line: str) -> Iterator[Command]:
    """Commands of a line, without the variables that are set for them."""
    lexer = shlex.shlex(re.sub(r"<[a-z ]+>", "PLACE", line), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    words: list[str] = []
    joined = into = redirected = ""
    for word in [*lexer, ";"]:
        if word in ENDS:
            if words:
                yield Command(words, joined, into)
            words, joined, into, redirected = [], word, "", ""
        elif word in (">", "<"):
            redirected = word
        elif redirected:
            into, redirected = word if redirected == ">" else "", ""
        elif word != "do" and (words or not re.fullmatch(r"\w+=\S*", word)):
            words.append(word)


def commands(line: str) -> list[list[str]]:
    return [command.words for command in parsed(line)]
