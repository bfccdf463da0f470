"""How text that somebody else wrote reaches a terminal. What is said is each command's business."""


def printable(text: str) -> str:
    """One line that a terminal shows and does not obey."""
    return "".join(character if character.isprintable() else "?" for character in text)
