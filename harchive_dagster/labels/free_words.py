"""What of a label others may read: words that are ours. What an annotator wrote freely may name somebody.

Who reads what is decided where it is published or shown.
"""

from harchive_dagster.labels.layers import ACTIVITIES, OUTCOMES
from harchive_dagster.labels.taxonomy import Taxonomy

OTHER = "other"
"""Stands for what was written freely."""


def in_our_words(verb: str | None, noun: str | None, text: str | None, taxonomy: Taxonomy) -> str:
    """What a label says, where it says so in the taxonomy's words, or as an activity or an outcome; else `OTHER`.

    As in `agreement.said`, the text counts where there is no verb; with neither, as with objects, the noun does.
    """
    if text and not verb:
        return text if text in (*ACTIVITIES, *OUTCOMES) else OTHER
    return " ".join(filter(None, (verb, noun))) if taxonomy.has_words(verb, noun) else OTHER
