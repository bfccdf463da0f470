"""How text and tables reach a terminal. What is said is each command's business."""

from collections.abc import Sequence

import click


def printable(text: str) -> str:
    """One line that a terminal shows and does not obey, whoever wrote it."""
    return "".join(character if character.isprintable() else "?" for character in text)


def columns(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows of equally many cells, each column as wide as its widest."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
