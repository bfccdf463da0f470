"""Nothing that leaves the house links back: every file, every column, every atom under published/ is searched."""

import av
import pyarrow.parquet as pq
import pytest

OPERATIONAL_NAMES = (
    "worker-01",
    "s-good-one",
    "s-good-two",
    "s-broken",
    "SN-7F3A",
    "consent-worker",
    "anna",
    "head_imu",
)
PLACES = ("location", "GPS", "\xa9xyz", "com.apple", "com.android", "Bengaluru", "IN-KA")


@pytest.fixture(scope="module")
def files(materialized):
    found = [path for path in (materialized.house.lake.root / "published").rglob("*") if path.is_file()]
    assert {".parquet", ".json", ".mp4"} <= {path.suffix for path in found}
    return found


def test_no_published_file_contains_an_operational_name_or_place(files, materialized):
    for path in files:
        # Media is compressed pictures: a few letters occur by chance, so its atoms are read in a test of their own.
        words = OPERATIONAL_NAMES if path.suffix == ".mp4" else (*OPERATIONAL_NAMES, *PLACES)
        content = path.read_bytes()
        found = [
            word
            for word in (*words, str(materialized.house.root))
            if word.encode("latin-1") in content or word in str(path.name)
        ]
        assert not found, path


def test_no_published_column_holds_an_operational_name(files):
    for path in files:
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            for name in table.column_names:
                text = (
                    str(table.column(name).unique().to_pylist())
                    if "list" not in str(table.schema.field(name).type)
                    else ""
                )
                assert not [word for word in (*OPERATIONAL_NAMES, *PLACES) if word in text], (path, name)


def test_folder_names_are_days_and_pseudonyms_only(files, materialized):
    participant = materialized.house.pseudonyms.participant("worker-01")
    media = [path for path in files if path.suffix == ".mp4"]
    assert {path.parent.name for path in media} == {participant}


def test_published_media_has_one_video_track_and_nothing_else(files):
    for path in files:
        if path.suffix == ".mp4":
            with av.open(path) as container:
                assert [stream.type for stream in container.streams] == ["video"]
                assert set(container.metadata) <= {"major_brand", "minor_version", "compatible_brands"}
                assert set(container.streams.video[0].metadata) <= {"language", "handler_name"}
            content = path.read_bytes()
            index = content[content.index(b"moov") : content.index(b"mdat")]
            assert not [
                atom
                for atom in (b"\xa9too", b"\xa9xyz", b"\xa9nam", b"loci", b"gpmd", b"mp4a", b"uuid")
                if atom in index
            ]
            # The muxer leaves an empty list of tags; eight bytes are its header and nothing else.
            assert b"ilst" not in index or b"\x00\x00\x00\x08ilst" in index


def test_the_source_did_carry_what_the_published_file_lacks(materialized):
    source = next((materialized.house.root / "landing").rglob("s-good-one/*.mp4"))
    with av.open(source) as container:
        assert {stream.type for stream in container.streams} == {"video", "audio"}
        assert set(container.metadata) - {"major_brand", "minor_version", "compatible_brands"}
