"""The list of annotation formats, and how a file finds its own. A new format is one module and one line here."""

from harchive_dagster.labels.formats.cvat import Cvat
from harchive_dagster.labels.formats.documents import AnnotationFile, FileProblemError
from harchive_dagster.labels.formats.egoverse import EgoVerse
from harchive_dagster.labels.formats.elan import Elan
from harchive_dagster.labels.formats.epic import Epic
from harchive_dagster.labels.formats.label_studio import LabelStudio
from harchive_dagster.labels.formats.plain_csv import PlainCsv
from harchive_dagster.labels.formats.protocol import AnnotationFormat

FORMATS: tuple[AnnotationFormat, ...] = (
    LabelStudio(),
    EgoVerse(),
    Cvat(),
    Elan(),
    Epic(),
    PlainCsv(),
)
"""In the order in which a file is tried; the last takes every other table, and says what is wrong with its header."""

SUFFIXES = (".csv", ".json", ".xml", ".eaf")
"""Files of a session's folder that are looked at; which format they are is up to their content."""


def format_of(file: AnnotationFile) -> AnnotationFormat:
    """The format of a file, by its content.

    Raises:
        FileProblemError: it is of none.
    """
    for one in FORMATS:
        if one.is_mine(file):
            return one
    known = ", ".join(one.name for one in FORMATS)
    raise FileProblemError(f"it is of no format that is known: {known}")


def format_named(name: str) -> AnnotationFormat:
    """The format that `--tool` names; its choices are the names of `FORMATS`."""
    return next(one for one in FORMATS if one.name == name)
