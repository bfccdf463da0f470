"""The stages of a worker-day and what each reads: the one place where the order of the flow is written down."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Stage:
    """One worker-day asset.

    Attributes:
        name: the asset's name; also the `stage` of its quarantine rows and the name of its suite.
        group: raw, synced, anonymized, labeled or published.
        reads: the stages whose tables or quarantine it depends on directly.
    """

    name: str
    group: str
    reads: tuple[str, ...]


STAGES: dict[str, Stage] = {
    stage.name: stage
    for stage in (
        Stage("uploads", "raw", ()),
        Stage("sensor_samples", "raw", ("uploads",)),
        Stage("frame_observations", "raw", ("uploads",)),
        Stage("clock_alignments", "synced", ("frame_observations", "sensor_samples")),
        Stage("synced_frames", "synced", ("clock_alignments",)),
        Stage("synced_streams", "synced", ("clock_alignments",)),
        Stage("redactions", "anonymized", ("frame_observations",)),
        Stage("anonymized_videos", "anonymized", ("redactions",)),
        Stage("annotations", "labeled", ("uploads",)),
        Stage("segments", "labeled", ("annotations", "synced_frames")),
        Stage("episodes", "published", ("segments", "synced_streams", "anonymized_videos")),
    )
}


def upstream_of(name: str) -> frozenset[str]:
    """Every stage whose quarantine keeps a session out of this one."""
    direct = STAGES[name].reads
    return frozenset(direct).union(*(upstream_of(stage) for stage in direct))


def from_on(name: str) -> tuple[str, ...]:
    """A stage and every one that depends on it, in the order of the flow: what is stale when its rows would change."""
    return tuple(stage for stage in STAGES if stage == name or name in upstream_of(stage))
