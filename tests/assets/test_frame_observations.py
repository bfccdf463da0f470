"""What the asset that looks at every frame asks the look for."""

import assets.raw
from harchive_dagster.errors import Reason, RecordingError


def test_every_frame_is_looked_at_by_what_the_deployment_chose_glances_included(house, monkeypatch):
    asked = []

    def look(_video, **options):
        asked.append(options)
        raise RecordingError(Reason.VIDEO_UNREADABLE, "seen enough.", mend="None.")

    monkeypatch.setattr(assets.raw, "look", look)
    house.add(session_id="s-one", duration_s=5.0, width_px=640, height_px=368)
    assert house.run(selection=["uploads", "frame_observations"]).success
    (options,) = asked
    assert options["detector"].version == f"{options['glance'].version}+second-look"
    assert options["glance"].undiminished_px(1920, 1080) == (480, 270)
    assert (options["detect_every"], options["slow_detector"]) == (7, None)
