"""How often long work says how far it is."""

from harchive_dagster.progress import spoken_progress


def test_progress_is_said_at_most_every_ten_seconds():
    said, now = [], [100.0]
    report = spoken_progress(said.append, "ses-1: rendered", clock=lambda: now[0])
    for seconds in range(0, 26, 5):
        now[0] = 100.0 + seconds
        report(seconds, 25)
    assert said == ["ses-1: rendered 10 of 25 frames", "ses-1: rendered 20 of 25 frames"]
