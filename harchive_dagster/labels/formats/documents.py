"""An annotator's file as text, JSON or XML: bounded, and parsed so that nothing outside it is read.

What it says is for each format.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harchive_dagster.landing.fields import parse_json, read_regular_file

if TYPE_CHECKING:
    from lxml.etree import _Element

MAX_FILE_BYTES = 64 * 2**20
"""A label a second for a day, with long texts, is under 20 MB."""

_SPACE = b" \t\r\n"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # editors and spreadsheets put it in front
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class FileProblemError(ValueError):
    """What keeps a file from being used; readers collect these into one LabelError."""


@dataclass(frozen=True)
class AnnotationFile:
    """A file's name and bytes."""

    name: str
    raw: bytes

    @cached_property
    def sha256(self) -> str:
        """Digest of the bytes, as hex."""
        return hashlib.sha256(self.raw).hexdigest()

    @property
    def is_json(self) -> bool:
        """Whether it begins as a JSON list or object does."""
        return self._begins_with(b"[", b"{")

    @property
    def is_xml(self) -> bool:
        """Whether it begins as XML does."""
        return self._begins_with(b"<")

    def _begins_with(self, *marks: bytes) -> bool:
        return self.raw.removeprefix(_BYTE_ORDER_MARK).lstrip(_SPACE).startswith(marks)

    @cached_property
    def text(self) -> str:
        """The file as text.

        Raises:
            FileProblemError: it is not UTF-8, or holds a NUL.
        """
        try:
            text = self.raw.removeprefix(_BYTE_ORDER_MARK).decode("utf-8")
        except UnicodeDecodeError as error:
            raise FileProblemError(f"it is not UTF-8 (in spreadsheets: CSV UTF-8): {error}") from None
        if "\0" in text:
            raise FileProblemError("it cannot be read: it holds a NUL character")
        return text

    @cached_property
    def json(self) -> Any:
        """What the JSON document holds.

        Raises:
            FileProblemError: it is none.
        """
        try:
            return parse_json(self.raw.removeprefix(_BYTE_ORDER_MARK), "it")
        except ValueError as error:
            raise FileProblemError(str(error)) from None

    @cached_property
    def xml(self) -> "_Element":
        """The root element. No entity is resolved, nothing is fetched, a document type is refused.

        Raises:
            FileProblemError: it is no such document.
        """
        from lxml import etree

        parser = etree.XMLParser(
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
            remove_comments=True,
            remove_pis=True,
        )
        try:
            root = etree.fromstring(self.raw, parser)
        except (etree.XMLSyntaxError, ValueError) as error:
            raise FileProblemError(f"it is not valid XML: {error}") from None
        if root.getroottree().docinfo.doctype:
            raise FileProblemError("it declares a document type, which no annotation tool needs")
        return root


def read_annotation_file(path: Path) -> AnnotationFile:
    """Read a regular file.

    Raises:
        FileProblemError: it is none, is too large, or cannot be read.
    """
    try:
        return AnnotationFile(path.name, read_regular_file(path, MAX_FILE_BYTES))
    except (OSError, ValueError) as error:
        raise FileProblemError(f"it cannot be read: {error}") from None


def xml_text(text: str) -> str:
    """The text with what XML 1.0 cannot hold replaced."""
    return _NOT_XML.sub("\ufffd", text)


def xml_bytes(root: "_Element", *, has_declaration: bool = True) -> bytes:
    """A whole document, indented, in UTF-8."""
    from lxml import etree

    raw: bytes = etree.tostring(root, xml_declaration=has_declaration, encoding="UTF-8", pretty_print=True)
    return raw
