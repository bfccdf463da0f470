"""Keyed pseudonyms for workers, sessions and annotators. The key never leaves this object; nothing here does I/O."""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass, field

from harchive_dagster.errors import SettingsError

_MIN_KEY_BYTES = 16
"""128 bits: below that a pseudonym of a guessable worker id could be found by trying keys."""

_LENGTH = 20
"""Base-32 characters kept: 100 bits, so collisions among 10^9 names stay below 10^-12."""

_ANNOTATOR = re.compile(rf"a-[a-z2-7]{{{_LENGTH}}}")


@dataclass(frozen=True)
class Pseudonymiser:
    """Turns operational names into stable pseudonyms with HMAC-SHA-256 (RFC 2104).

    Without the key a pseudonym can be neither reversed nor recomputed from a list of names.

    Raises:
        SettingsError: the key is shorter than 16 bytes.
    """

    key: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.key) < _MIN_KEY_BYTES:
            raise SettingsError(
                f"The pseudonym key has {len(self.key)} bytes; at least {_MIN_KEY_BYTES} are needed.",
                consequence="No pseudonym can be made, so nothing can be published.",
                mend="Set HARCHIVE_PSEUDONYM_KEY to the output of: openssl rand -hex 32",
            )

    def participant(self, worker_id: str) -> str:
        """The worker's pseudonym, the same on every day."""
        return self._pseudonym("p", worker_id)

    def session(self, session_id: str) -> str:
        """The session's pseudonym."""
        return self._pseudonym("s", session_id)

    def segment(self, name: str) -> str:
        """A published segment's id."""
        return self._pseudonym("g", name)

    def annotation(self, name: str) -> str:
        """The id of an annotator's label in another one's job."""
        return self._pseudonym("l", name)

    def annotator(self, name: str) -> str:
        """The annotator's pseudonym; of a pseudonym itself, which comes back in others' jobs: nobody is two people."""
        return name if _ANNOTATOR.fullmatch(name) else self._pseudonym("a", name)

    def _pseudonym(self, kind: str, name: str) -> str:
        # The kind is part of the message, so that a worker and a session of one name do not share a pseudonym.
        digest = hmac.new(self.key, f"{kind}:{name}".encode(), hashlib.sha256).digest()
        return f"{kind}-{base64.b32encode(digest).decode().lower()[:_LENGTH]}"
