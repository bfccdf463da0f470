"""Makes the pseudonymised copies that a lab sees: tables without operational ids, media under new names.

Which sessions may be published is decided before; nothing here judges.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from harchive_dagster.labels.free_words import in_our_words
from harchive_dagster.labels.joints import is_plain_joint
from harchive_dagster.labels.taxonomy import Taxonomy
from harchive_dagster.lake.contract import TableContract
from harchive_dagster.lake.tables import PartitionKey
from harchive_dagster.privacy.pseudonyms import Pseudonymiser
from harchive_dagster.recording.private_time import shows_private_time
from harchive_dagster.sync.stream_clock import DEVICE
from harchive_dagster.worker_day import WorkerDay


def participant_day_key(worker_day: WorkerDay, pseudonyms: Pseudonymiser) -> PartitionKey:
    """The partition of a published table that holds one worker-day."""
    return {
        "collected_on": worker_day.collected_on,
        "participant_id": pseudonyms.participant(worker_day.worker_id),
    }


def published_copy(rows: pa.Table, contract: TableContract, pseudonyms: Pseudonymiser) -> pa.Table:
    """A restricted table's rows under pseudonyms, reduced to the columns that the published contract names."""
    renamed = rows.append_column("participant_id", _mapped(rows.column("worker_id"), pseudonyms.participant))
    renamed = renamed.append_column("session_pseudonym", _mapped(rows.column("session_id"), pseudonyms.session))
    return contract.conform(renamed)


def without_private_time(timed: pa.Table, private_ns: Mapping[str, Sequence[tuple[int, int]]]) -> pa.Table:
    """Rows of streams outside private time: how the worker moved then is nobody's business either.

    The sample (or frame) that private time starts in is left out as well, as its picture is blanked. Of a recording
    with private time, a stream on a clock that nobody measured is left out whole: which of its samples are private
    cannot be told.

    Args:
        timed: rows with session_id, stream_id and t_ns, and `clock` where streams may have one of their own; a sample
            may have several rows.
        private_ns: by session, half-open intervals in session time.
    """
    names = [name for name in ("session_id", "stream_id", "t_ns", "clock") if name in timed.column_names]
    frame = timed.select(names).to_pandas()
    is_private = np.zeros(len(frame), dtype=np.bool_)
    for (session_id, _), stream in frame.groupby(["session_id", "stream_id"], sort=False):
        intervals_ns = private_ns.get(session_id, ())
        is_unmeasured = "clock" in stream and DEVICE in stream["clock"].to_numpy()
        t_ns, sample = np.unique(stream["t_ns"].to_numpy(), return_inverse=True)
        is_shown = shows_private_time(t_ns, intervals_ns)[sample]
        is_private[stream.index] = is_shown | (is_unmeasured and len(intervals_ns) > 0)
    return timed.filter(pa.array(~is_private))


def without_free_words(segments: pa.Table, taxonomy: Taxonomy, pseudonyms: Pseudonymiser) -> pa.Table:
    """Segments in our words (`free_words`): what an annotator wrote freely may name a person.

    A verb or noun that the taxonomy does not know becomes null, and a label made of such words becomes "other". The
    restricted table keeps what was written. Segment ids are made from the words, so they become keyed ones.
    """
    verbs, nouns, labels, ids = [], [], [], []
    for row in segments.select(["session_id", "segment_id", "source", "verb", "noun", "label"]).to_pylist():
        ids.append(pseudonyms.segment(f"{row['session_id']}/{row['segment_id']}"))
        verb = row["verb"] if row["verb"] and taxonomy.canonical_verb(row["verb"]) else None
        noun = row["noun"] if row["noun"] and taxonomy.canonical_noun(row["noun"]) else None
        is_written = row["source"] == "annotator"
        verbs.append(verb)
        nouns.append(noun)
        said = in_our_words(row["verb"], row["noun"], row["label"], taxonomy) if is_written else row["label"]
        labels.append(said)
    for name, values in (("verb", verbs), ("noun", nouns), ("label", labels), ("segment_id", ids)):
        position = segments.column_names.index(name)
        segments = segments.set_column(position, segments.schema.field(name), pa.array(values, type=pa.string()))
    return segments


def without_free_joints(poses: pa.Table) -> pa.Table:
    """Poses whose joints have plain names; any other becomes `other_<n>`, by its place among its stream's joints.

    The restricted table keeps the device's names.
    """
    frame = poses.select(["session_id", "stream_id", "joint"]).to_pandas()
    names = frame["joint"].to_numpy(dtype=object, copy=True)
    for _, stream in frame.groupby(["session_id", "stream_id"], sort=False):
        joints = sorted(stream["joint"].unique())
        plain = {joint: joint if is_plain_joint(joint) else f"other_{place}" for place, joint in enumerate(joints)}
        names[stream.index] = stream["joint"].map(plain)
    position = poses.column_names.index("joint")
    return poses.set_column(position, poses.schema.field("joint"), pa.array(names, type=pa.string()))


def _mapped(column: pa.ChunkedArray, pseudonym: Callable[[str], str]) -> pa.Array:
    encoded = column.combine_chunks().dictionary_encode()
    names = pa.array([pseudonym(name) for name in encoded.dictionary.to_pylist()], type=pa.string())
    return pa.DictionaryArray.from_arrays(encoded.indices, names).cast(pa.string())


def media_folder(worker_day: WorkerDay, pseudonyms: Pseudonymiser) -> str:
    """Where a worker-day's published files lie, relative to the media folder."""
    return f"{worker_day.collected_on}/{pseudonyms.participant(worker_day.worker_id)}"


def media_uri(worker_day: WorkerDay, session_id: str, sha256: str, pseudonyms: Pseudonymiser) -> str:
    """Where a published file lies, relative to the media folder. The digest makes every content its own name."""
    return f"{media_folder(worker_day, pseudonyms)}/{pseudonyms.session(session_id)}-{sha256[:16]}.mp4"


def publish_media(sources: Mapping[str, Path], media: Path) -> None:
    """Put files at their published names; a name is only ever seen with its whole content behind it.

    Args:
        sources: by published uri, the rendered file in the restricted zone.
        media: the published media folder.
    """
    for uri, source in sources.items():
        target = media / uri
        if target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.draft")
        draft.unlink(missing_ok=True)
        try:
            os.link(source, draft)
        except OSError:  # another file system
            shutil.copyfile(source, draft)
        draft.replace(target)


def drop_stale_media(folder: Path, keep: Iterable[str]) -> list[str]:
    """Remove files of one worker-day that its current rows do not name: what is no longer published must be gone.

    Args:
        folder: one worker-day's folder of published (or rendered) media.
        keep: file names that stay.

    Returns:
        The names removed.
    """
    kept = set(keep)
    stale = sorted(path for path in folder.glob("*") if path.is_file() and path.name not in kept)
    for path in stale:
        path.unlink()
    return [path.name for path in stale]
