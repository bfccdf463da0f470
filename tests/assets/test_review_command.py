"""`harchive review` over a real run: the page shows what the tables hold, and names nobody."""

import json
import re
import shlex
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from headless_browser import BROWSER, Page
from lxml import html

from harchive_dagster.cli import cli
from harchive_dagster.errors import LakeError, SettingsError
from harchive_dagster.lake import ledgers, schemas
from harchive_dagster.review.traces import WIDTH

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("worker-01", "s-good-one", "s-good-two", "s-broken", "SN-7F3A", "consent-worker", "head_imu", "IN-KA")


@pytest.fixture
def run(materialized: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The command line over the house, in an empty folder."""
    monkeypatch.setenv("HARCHIVE_LAKE", str(materialized.house.lake.root))
    monkeypatch.setenv("HARCHIVE_PSEUDONYM_KEY", materialized.house.pseudonyms.key.decode())
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: object) -> Result:
        return CliRunner().invoke(cli, ["review", *map(str, arguments)], catch_exceptions=False)

    return invoke


@pytest.fixture
def page(run: Any, tmp_path: Path) -> Any:
    assert run("2026-03-02", "worker-01", "--to", tmp_path / "page").exit_code == 0
    return html.parse(tmp_path / "page" / "index.html", html.HTMLParser(encoding="utf-8")).getroot()


def rows_of(materialized: Any, contract: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = materialized.house.lake.read(contract).to_pylist()
    return found


def section_of(page: Any, materialized: Any, session_id: str) -> Any:
    (section,) = page.xpath(f"//section[@id='{materialized.house.pseudonyms.session(session_id)}']")
    return section


@pytest.mark.parametrize(
    ("kind", "contract"),
    [("segment", schemas.SEGMENTS), ("annotation", schemas.ANNOTATIONS), ("episode", schemas.EPISODES)],
)
def test_every_row_is_a_span_of_its_sessions_lanes(page: Any, materialized: Any, kind: str, contract: Any) -> None:
    rows = rows_of(materialized, contract)
    assert rows
    for session_id in ("s-good-one", "s-good-two"):
        spans = section_of(page, materialized, session_id).xpath(f".//*[@data-kind='{kind}']//a")
        names = (session_id, materialized.house.pseudonyms.session(session_id))
        mine = [row for row in rows if {row.get("session_id"), row.get("session_pseudonym")} & set(names)]
        starts = sorted(f"{row['start_ns'] / 1e9:.3f}" for row in mine)
        assert sorted(span.get("data-start") for span in spans) == starts


def test_a_page_names_nobody(page: Any, tmp_path: Path, materialized: Any) -> None:
    for path in tmp_path.rglob("*"):
        text = path.read_text() if path.suffix == ".html" else path.name
        assert not [name for name in (*NAMES, "anna", str(materialized.house.root)) if name in text], path


def test_a_restricted_page_says_ids_and_details_and_that_it_must_stay(run: Any, tmp_path: Path) -> None:
    run("2026-03-02", "worker-01", "--restricted", "--to", tmp_path)
    text = (tmp_path / "index.html").read_text()
    assert {"worker-01", "s-good-one", "s-broken"} <= {name for name in NAMES if name in text}
    assert "stays in the house" in text


def test_every_session_that_was_set_aside_is_there_with_its_reason(page: Any, materialized: Any) -> None:
    rows = rows_of(materialized, ledgers.QUARANTINE)
    assert len(rows) > 4
    said = {(note.getparent().get("id"), note.text_content()) for note in page.xpath("//p[@class='aside']")}
    assert len(said) == len(rows)
    for row in rows:
        name = materialized.house.pseudonyms.session(row["session_id"])
        assert any(row["reason"] in text and (name == place or name in text) for place, text in said), row


def test_only_videos_that_were_rendered_and_audited_are_shown(page: Any, tmp_path: Path, materialized: Any) -> None:
    rendered = {row["session_id"]: row for row in rows_of(materialized, schemas.ANONYMIZED_VIDEOS)}
    sources = [one.get("src") for one in page.xpath("//video")]
    assert sorted(sources) == sorted(
        f"media/{materialized.house.pseudonyms.session(session_id)}-{row['sha256'][:16]}.mp4"
        for session_id, row in rendered.items()
    )
    assert {(tmp_path / "page" / source).stat().st_size for source in sources} == {
        row["bytes"] for row in rendered.values()
    }


def test_no_motion_of_private_time_is_drawn(page: Any, materialized: Any) -> None:
    truth = json.loads((materialized.house.folder_of("s-good-two") / "manifest.json").read_text())
    private = {one["kind"]: one["at_ns"] for one in truth["markers"] if one["kind"].startswith("private")}
    section = section_of(page, materialized, "s-good-two")
    duration_ns = float(section.get("data-duration")) * 1e9
    begins, ends = (private[kind] / duration_ns * WIDTH for kind in ("private_start", "private_end"))
    paths = section.xpath(".//*[name()='path']/@d")
    assert len(paths) >= 3
    for path in paths:
        lines = re.findall(r"([ML])(\d+) ", path)
        assert not [x for _, x in lines if begins <= int(x) < ends - 1]
        across = [
            x for (_, before), (command, x) in pairwise(lines) if command == "L" and int(before) < begins <= int(x)
        ]
        assert not across


def test_a_worker_is_named_by_pseudonym_as_well_and_the_page_has_a_place_of_its_own(
    run: Any, materialized: Any
) -> None:
    participant = materialized.house.pseudonyms.participant("worker-01")
    assert f"open var/review/2026-03-02-{participant}/index.html" in run("2026-03-02", participant).output
    assert (Path("var/review") / f"2026-03-02-{participant}" / "index.html").is_file()


@pytest.mark.parametrize(
    ("day", "worker", "message"),
    [
        ("2026-03-02", "worker-09", r"no session of 'worker-09' on 2026-03-02 \(that day's workers are worker-01\)"),
        ("2026-03-03", "worker-01", r"no session of 'worker-01' on 2026-03-03 \(nobody's is from that day\)"),
    ],
)
def test_a_worker_day_that_is_not_in_the_lake_is_named(run: Any, day: str, worker: str, message: str) -> None:
    with pytest.raises(LakeError, match=message):
        run(day, worker)
    assert not Path("var").exists()


def test_a_worker_day_of_two_versions_of_its_upload_is_not_shown(house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    house.add(session_id="s-one", duration_s=5.0)
    assert house.run(selection=["uploads"]).success
    monkeypatch.setenv("HARCHIVE_LAKE", str(house.lake.root))
    monkeypatch.setenv("HARCHIVE_PSEUDONYM_KEY", house.pseudonyms.key.decode())
    with pytest.raises(LakeError, match="did not run for what arrived last"):
        CliRunner().invoke(cli, ["review", "2026-03-02", "worker-01"], catch_exceptions=False)


def test_a_restricted_page_does_not_take_the_place_of_one_that_may_be_shown(run: Any, materialized: Any) -> None:
    place = f"var/review/2026-03-02-{materialized.house.pseudonyms.participant('worker-01')}"
    assert f"open {place}-restricted/index.html" in run("2026-03-02", "worker-01", "--restricted").output
    assert not Path(place).exists()


def test_another_key_than_the_pipelines_is_a_clear_error(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARCHIVE_PSEUDONYM_KEY", "a key of somebody else's")
    with pytest.raises(LakeError, match="is not the key that this worker-day was taken in with"):
        run("2026-03-02", "worker-01")


def test_a_page_is_not_written_into_the_lake(run: Any, materialized: Any) -> None:
    published = materialized.house.lake.root / "published"
    with pytest.raises(SettingsError, match=r"is inside the lake"):
        run("2026-03-02", "worker-01", "--to", published / "media")
    assert not (published / "media" / "index.html").exists()


def test_a_folder_behind_a_loop_of_links_is_a_clear_error(run: Any, tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SettingsError, match="cannot be read or written: Too many levels of symbolic links"):
        run("2026-03-02", "worker-01", "--to", tmp_path / "loop")


def test_a_page_written_after_a_withdrawal_or_a_deletion_shows_nothing_any_more(
    house: Any, materialized: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for place in ("landing", "lake"):
        shutil.copytree(materialized.house.root / place, house.root / place, dirs_exist_ok=True)
    monkeypatch.setenv("HARCHIVE_LAKE", str(house.lake.root))
    monkeypatch.setenv("HARCHIVE_PSEUDONYM_KEY", house.pseudonyms.key.decode())

    def write() -> tuple[str, int]:
        command = ["review", "2026-03-02", "worker-01", "--to", str(tmp_path / "page")]
        said = CliRunner().invoke(cli, command, catch_exceptions=False).output
        return said, len(list((tmp_path / "page" / "media").iterdir()))

    said, file_count = write()
    assert said.startswith("4 sessions")
    assert file_count > 4
    (consent,) = (house.landing.uploads / "consents").glob("*.json")
    consent.write_text(json.dumps(json.loads(consent.read_text()) | {"withdrawn_at": "2026-03-03T10:00:00+05:30"}))
    assert house.overview().success
    with pytest.raises(LakeError, match=r"was withdrawn, and 2026-03-02\|worker-01 was not run since"):
        write()
    assert house.run().success
    said, file_count = write()
    assert said.startswith("0 sessions")
    assert file_count == 0
    assert "consent_withdrawn" in (tmp_path / "page" / "index.html").read_text()
    shutil.rmtree(house.landing.uploads / "2026-03-02" / "worker-01")
    assert house.run().success
    assert write()[0].startswith("0 sessions to look at, 0 set aside")


def test_a_worker_day_without_one_readable_manifest_has_a_page(
    house: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = house.landing.uploads / "2026-03-02" / "worker-01" / "s-one"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{")
    assert house.run().success
    monkeypatch.setenv("HARCHIVE_LAKE", str(house.lake.root))
    monkeypatch.setenv("HARCHIVE_PSEUDONYM_KEY", house.pseudonyms.key.decode())
    command = ["review", "2026-03-02", "worker-01", "--to", str(tmp_path / "page")]
    assert (
        CliRunner().invoke(cli, command, catch_exceptions=False).output.startswith("0 sessions to look at, 1 set aside")
    )
    assert house.pseudonyms.session("s-one") in (tmp_path / "page" / "index.html").read_text()


def test_the_commands_of_the_guide_run(run: Any) -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "reviewing.md").read_text(), re.DOTALL)
    for command in block.splitlines():
        result = run(*shlex.split(command)[2:])
        assert result.exit_code == 0
        assert Path(result.output.strip().rpartition("open ")[2]).is_file()


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed")
def test_videos_of_the_pipeline_play_and_jump_in_a_browser(run: Any, tmp_path: Path) -> None:
    run("2026-03-02", "worker-01", "--to", tmp_path / "page")
    with Page(tmp_path / "profile") as browser:
        browser.open(tmp_path / "page" / "index.html")
        videos = browser.run("[...document.querySelectorAll('video')].map((one) => [one.readyState > 0, one.duration])")
        assert videos
        assert all(is_ready and duration > 4 for is_ready, duration in videos)
        for kind in ("episode", "segment", "annotation"):
            first = f"document.querySelector('[data-kind={kind}] .span')"
            start = browser.run(f"{first}.dataset.start")
            browser.click(f"[data-kind={kind}] .span rect")
            video = f"{first}.closest('section').querySelector('video')"
            browser.wait_for(f"Math.abs({video}.currentTime - {start}) < 0.01 && !{video}.seeking")
        assert browser.complaints == []
