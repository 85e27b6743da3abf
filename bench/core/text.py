"""Words that messages and notes share."""

from __future__ import annotations

from collections.abc import Sequence

MOST_NAMED = 8  #: names that a message gives one by one


def listed(names: Sequence[str], most: int = MOST_NAMED) -> str:
    """The names, the first `most` of them: "a, b and 3 more"."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def cut(text: str, most: int) -> str:
    """A text without what a terminal would act on and, where it is longer than `most` letters, without its middle."""
    if len(text) > most:
        half = most // 2
        text = f"{text[:half]} … ({len(text) - 2 * half:,} letters cut) … {text[-half:]}"
    return "".join(letter if letter.isprintable() or letter in "\n\t" else "\N{REPLACEMENT CHARACTER}" for letter in text)


def counted(number: int, noun: str) -> str:
    """ "1 cell", "2 cells"."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
