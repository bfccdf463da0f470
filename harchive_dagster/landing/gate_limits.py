"""What the gates of the first stages will hold against an upload, told before it gets there.

Limits are the suites' and figures those of `quality.facts`; only Great Expectations, which takes seconds to load, is
not asked. Nothing is decided here.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from harchive_dagster.landing.formats.protocol import Stream
from harchive_dagster.landing.manifest import Manifest, StreamSpec
from harchive_dagster.reasons import Reason
from harchive_dagster.recording.container import VideoFacts
from harchive_dagster.recording.imu import ImuStream
from harchive_dagster.recording.location import LocationStream
from harchive_dagster.worker_day import WorkerDay

if TYPE_CHECKING:
    from harchive_dagster.quality.rules import Rule


def upload_breaches(manifest: Manifest, facts: VideoFacts, now: datetime) -> Iterator[tuple[Reason, str]]:
    """Limits of `uploads` that a recording breaks, a sentence each."""
    import pyarrow as pa

    from harchive_dagster.quality.facts import upload_facts
    from harchive_dagster.quality.suites import UPLOADS

    row = {
        "session_id": manifest.session_id,
        "started_at_utc": manifest.started_at,
        "collected_on": manifest.collected_on,
        "duration_ns": facts.duration_ns,
        "fps": facts.fps,
        "width_px": facts.width_px,
    }
    (figures,) = upload_facts(pa.Table.from_pylist([row]), now).to_dict("records")
    return broken_limits(UPLOADS.session_rules, figures)


def stream_breaches(manifest: Manifest, stream: Stream, spec: StreamSpec) -> Iterator[tuple[Reason, str]]:
    """Limits of `sensor_samples` or `synced_streams` that a stream breaks, a sentence each.

    Of other than inertial streams only what device time tells: rate and gaps. Positions are read by no stage.
    """
    from harchive_dagster.lake.rows import imu_rows
    from harchive_dagster.quality.facts import sensor_facts
    from harchive_dagster.quality.suites import SENSOR_SAMPLES, SYNCED_STREAMS

    if isinstance(stream, LocationStream):
        return iter(())
    if isinstance(stream, ImuStream):
        rows = imu_rows(WorkerDay(manifest.collected_on, manifest.worker_id), manifest.session_id, stream)
        (figures,) = sensor_facts(rows, {(manifest.session_id, spec.stream_id): spec.rate_hz}).to_dict("records")
        return broken_limits(SENSOR_SAMPLES.session_rules, figures)
    timing = {
        "rate_ratio": stream.rate_hz / spec.rate_hz,
        "max_gap_s": float(np.diff(stream.t_device_ns).max()) / 1e9,
    }
    rules = [rule for rule in SYNCED_STREAMS.session_rules if rule.arguments["column"] in timing]
    return broken_limits(rules, timing)


def broken_limits(rules: "Sequence[Rule]", figures: Mapping[Any, Any]) -> Iterator[tuple[Reason, str]]:
    """The rules of the form "between" that a session's figures break; a figure that is no number breaks them all."""
    for rule in rules:
        column = rule.arguments["column"]
        value = float(figures[column])
        low, high = rule.arguments["min_value"], rule.arguments["max_value"]
        if not (-math.inf if low is None else low) <= value <= (math.inf if high is None else high):
            yield rule.reason, f"the gate expects that {rule.meaning}; {column} is {value:g}."
