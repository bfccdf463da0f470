"""A real clip whose camera steadied its picture goes from `harchive pack` to the lab with its own pixels and gyro."""

from datetime import date

import numpy as np
import pytest
from click.testing import CliRunner

from harchive_dagster.cli import cli
from harchive_dagster.demo.uploads import write_consent
from harchive_dagster.lake import ledgers, schemas

CLIP = "gopro_max_walk.mp4"


@pytest.fixture(scope="module")
def published(tmp_path_factory, make_house, realdata):
    house = make_house(tmp_path_factory.mktemp("stabilised"))
    write_consent(house.landing.uploads, "worker-01", first_day=date(2026, 3, 2))
    options = {
        "worker": "worker-01",
        "task": "none",
        "consent": "consent-worker-01",
        "started-at": "2026-03-02T10:00:00+05:30",
        "region": "IN-KA",
        "environment": "street",
        "session": "s-gopro-walk",
        "landing": str(house.landing.uploads),
    }
    arguments = [text for name, value in options.items() for text in (f"--{name}", value)]
    packed = CliRunner().invoke(cli, ["pack", str(realdata / CLIP), *arguments])
    assert packed.exit_code == 0, packed.output
    assert house.run().success
    return house


@pytest.mark.realdata
def test_nothing_of_it_is_set_aside_and_it_becomes_an_episode(published):
    assert published.lake.read(ledgers.QUARANTINE).to_pylist() == []
    (session,) = published.lake.read(schemas.SESSIONS).to_pylist()
    assert (session["status"], session["frame_count"]) == ("accepted", 315)
    assert published.lake.read(schemas.EPISODES).num_rows >= 1


@pytest.mark.realdata
def test_its_gyro_is_timed_by_what_the_camera_says_of_its_orientation(published):
    (alignment,) = published.lake.read(schemas.PUBLISHED_CLOCK_ALIGNMENTS).to_pylist()
    assert (alignment["method"], alignment["clock"], alignment["placement"]) == (
        "image_orientation/1",
        "content",
        "head",
    )
    (measured,) = published.lake.read(schemas.CLOCK_ALIGNMENTS).to_pylist()
    # The camera stamps its gyro 13 ms later than the orientations that it makes of it, frame by frame.
    assert measured["offset_ns"] == pytest.approx(-12.9e6, abs=1e6)
    assert 0.3 < alignment["correlation"] < 1


@pytest.mark.realdata
def test_gravity_points_down_in_the_camera_s_axes(published):
    rows = published.lake.read(schemas.PUBLISHED_SYNCED_FRAMES).to_pandas()
    mean = rows[[f"accel_{axis}_m_s2" for axis in "xyz"]].mean().to_numpy()
    # What holds the camera up is felt upwards, against y: 9.8 m/s^2, the head held upright.
    np.testing.assert_allclose(mean, [0, -9.8, 0], atol=2.5)
