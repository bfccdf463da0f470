"""Static pages of the last validations: one for each, and an index that says which broke."""

import pandas as pd
import pytest

from harchive_dagster.errors import SettingsError
from harchive_dagster.quality.data_docs import write_data_docs
from harchive_dagster.quality.gate import judge_batch, keep_reports
from harchive_dagster.quality.rules import Suite, unique

SUITE = Suite("tried", session_rules=(), batch_rules=(unique(("session_id",), "a session appears once"),))


def keep(folder, *session_ids, partition="2026-03-02_worker-01"):
    report = judge_batch(SUITE, pd.DataFrame({"session_id": list(session_ids)})).report
    keep_reports(folder, "tried", partition, [report])


def test_every_validation_has_a_page_and_a_line_in_the_index(tmp_path):
    keep(tmp_path / "kept", "one", "two")
    keep(tmp_path / "kept", "one", "one", partition="2026-03-02_worker-02")
    index = write_data_docs(tmp_path / "kept", tmp_path / "out")
    pages = sorted(path.name for path in index.parent.glob("tried_*.html"))
    assert pages == ["tried_2026-03-02_worker-01_0.html", "tried_2026-03-02_worker-02_0.html"]
    text = index.read_text()
    assert all(page in text for page in pages)
    assert (text.count("all hold"), text.count(">broken<")) == (1, 1)
    assert "session_id" in (index.parent / pages[0]).read_text()


def test_only_the_last_validation_of_a_partition_is_kept(tmp_path):
    keep(tmp_path / "kept", "one", "one")
    keep(tmp_path / "kept", "one")
    assert "broken<" not in write_data_docs(tmp_path / "kept", tmp_path / "out").read_text()


def test_without_any_validation_it_says_what_to_do(tmp_path):
    with pytest.raises(SettingsError, match="Materialize a worker-day first"):
        write_data_docs(tmp_path, tmp_path / "out")
