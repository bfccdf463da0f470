import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harchive_dagster.errors import AnnotationFileError, LabelError, SettingsError
from harchive_dagster.labels.annotation_files import read_annotations
from harchive_dagster.labels.annotation_intake import file_annotations
from harchive_dagster.labels.class_mapping import class_mapping_beside, parse_class_mapping, read_class_mapping
from harchive_dagster.labels.formats.documents import AnnotationFile, FileProblemError
from harchive_dagster.labels.formats.epic import COLUMNS
from harchive_dagster.labels.formats.protocol import Drawn, Job
from harchive_dagster.labels.formats.registry import format_named
from harchive_dagster.labels.taxonomy import load_taxonomy

SESSION = "s-abcdefghij234567klmn"
HEADER = "kind,class_id,class_name,word"
THEIRS = f"""{HEADER}
verb,0,take,grasp
verb,0,take,lift
verb,7,set aside,place
verb,8,park,place
noun,2,dish thing,plate
noun,5,cover,Lid
"""
"""Classes of a list of our own making: one of two words, one word of two classes, and names that we do not have."""


def _mapping(text: str = THEIRS) -> Any:
    return parse_class_mapping(AnnotationFile("theirs.csv", text.encode()))


def _epic(**cells: str) -> str:
    row = dict.fromkeys(COLUMNS, "") | {
        "narration_id": "n1",
        "video_id": "kitchen_1",
        "start_timestamp": "00:00:01.00",
        "stop_timestamp": "00:00:02.00",
        "narration": "does something",
    }
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerow(row | cells)
    return text.getvalue()


@pytest.fixture
def read_mapped(annotations: Any) -> Callable[..., Any]:
    """The one label of an EPIC file that has a class mapping beside it."""

    def read(theirs: str = THEIRS, **cells: str) -> Any:
        annotations.drop(_epic(**cells), "asha.csv")
        annotations.drop(theirs, "asha.csv.classes.csv")
        (label,) = annotations.read()
        return label

    return read


def test_the_first_row_of_a_class_is_read_and_the_first_row_of_a_word_is_written() -> None:
    mapping = _mapping()
    assert mapping.words_by_id["verb", 0] == "grasp"
    assert (mapping.ids["verb", "grasp"], mapping.ids["verb", "lift"]) == (0, 0)
    assert (mapping.words_by_id["verb", 8], mapping.ids["verb", "place"]) == ("place", 7)


def test_names_are_found_however_they_are_written_and_words_may_be_synonyms() -> None:
    mapping = _mapping()
    assert mapping.word_named("verb", " Set-Aside ") == "place"
    assert mapping.word_named("noun", "Cover") == "lid"
    assert mapping.word_named("noun", "take") == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (f"{HEADER}\nadverb,0,take,grasp\n", "line 2: kind is 'adverb', expected verb or noun"),
        (f"{HEADER}\nverb,0,take,graps\n", r"line 2: word is 'graps', which is no verb of the taxonomy \(grasp"),
        (f"{HEADER}\nverb,0,take,plate\n", "word is 'plate', which is no verb"),
        (f"{HEADER}\nnoun,0,x,%%%\n", "none is written like it"),
        (f"{HEADER}\nverb,-1,take,grasp\n", "class_id is '-1', expected a whole number"),
        (f"{HEADER}\nverb,0.5,take,grasp\n", r"class_id is '0\.5'"),
        (f"{HEADER}\nverb,0, ,grasp\n", "class_name is empty"),
        (f"{HEADER}\nverb,0,take,grasp\nverb,0,seize,lift\n", "verb class 0 is named 'seize', and 'take' before"),
        (f"{HEADER}\n", "it has no rows"),
        (f"{HEADER}\n" + "verb,x,take,grasp\n" * 9, "line 6: class_id is 'x'.*; and 4 more"),
        ("kind,class_id,word\n", r"lacks \['class_name'\]"),
        (f"{HEADER},colour\n", r"unknown \['colour'\]"),
        (f"{HEADER}\nverb,0\n", "line 2 has 2 cells"),
    ],
)
def test_a_mapping_that_cannot_be_used_says_what_and_where(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text(text)
    with pytest.raises(SettingsError, match=rf"The class mapping 'theirs\.csv' cannot be used: .*{problem}"):
        read_class_mapping(path)


def test_a_mapping_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="The class mapping 'gone' cannot be used"):
        read_class_mapping(tmp_path / "gone")


WORDS = st.sampled_from(["verb", "noun", "grasp", "plate", "0", "12", "take", "", '"', "\n", ",", "é"])


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.lists(WORDS, min_size=3, max_size=5), max_size=6), raw=st.binary(max_size=20))
def test_whatever_lies_there_is_a_mapping_of_our_words_or_refused(rows: list[list[str]], raw: bytes) -> None:
    text = "\n".join([HEADER, *(",".join(row) for row in rows)]).encode() + raw
    try:
        mapping = parse_class_mapping(AnnotationFile("x.csv", text))
    except FileProblemError:
        return
    taxonomy = load_taxonomy()
    assert {word for (kind, word) in mapping.ids if kind == "verb"} <= set(taxonomy.verb_categories)
    assert {word for (kind, word) in mapping.ids if kind == "noun"} <= set(taxonomy.noun_categories)
    assert set(mapping.words_by_id.values()) <= {word for _, word in mapping.ids}


def exercise(path: Path) -> None:
    """Reads a mapping beside a label file of its session."""
    labels = path.parent / "annotations" / SESSION / "asha.csv"
    labels.parent.mkdir(parents=True, exist_ok=True)
    labels.write_text(_epic(verb="park", verb_class="0"))
    class_mapping_beside(labels).write_bytes(path.read_bytes())
    (label,) = read_annotations(labels.parents[1], session_pseudonym=SESSION)
    assert label.text == "does something"


def test_two_thousand_damaged_mappings_end_in_labels_or_a_refusal(
    tmp_path: Path, survive_mutations: Callable[..., dict[str, int]]
) -> None:
    (tmp_path / "seed.csv").write_text(THEIRS)
    survive_mutations(exercise, [tmp_path / "seed.csv"])


@pytest.mark.parametrize(
    ("cells", "verb", "known", "as_written"),
    [
        ({"verb": "pick-up", "verb_class": "0"}, "grasp", True, "pick-up"),
        ({"verb": "hoick", "verb_class": "7"}, "place", True, "hoick"),
        ({"verb": "", "verb_class": "7"}, "place", True, None),
        ({"verb": "Park", "verb_class": ""}, "place", True, "Park"),
        ({"verb": "pick-up", "verb_class": "99"}, "lift", True, "pick-up"),
        ({"verb": "hoick", "verb_class": "99"}, "hoick", False, None),
        ({"verb": "hoick", "verb_class": "-1"}, "hoick", False, None),
    ],
)
def test_a_class_is_our_word_and_one_without_a_row_stays_as_written(
    read_mapped: Callable[..., Any], cells: dict[str, str], verb: str, known: bool, as_written: str | None
) -> None:
    label = read_mapped(**cells)
    attributes = json.loads(label.attributes)
    assert (label.verb, attributes["is_known_verb"], attributes.get("verb_as_written")) == (verb, known, as_written)


def test_without_a_mapping_class_numbers_mean_nothing(annotations: Any) -> None:
    annotations.drop(_epic(verb="hoick", verb_class="7", noun="plate", noun_class="five"), "asha.csv")
    (label,) = annotations.read()
    assert (label.verb, label.noun) == ("hoick", "plate")


def test_a_class_that_is_no_number_is_told(read_mapped: Callable[..., Any]) -> None:
    with pytest.raises(LabelError, match=r"'asha\.csv' line 2: noun_class is 'five', expected a whole number"):
        read_mapped(noun_class="five")


def test_a_damaged_mapping_is_told_with_the_file_that_it_belongs_to(read_mapped: Callable[..., Any]) -> None:
    with pytest.raises(LabelError, match=r"'asha\.csv': its class mapping 'asha\.csv\.classes\.csv' cannot be used"):
        read_mapped(theirs="kind\n")


def test_a_mapping_serves_the_file_that_it_lies_beside_and_no_other(annotations: Any) -> None:
    annotations.drop(_epic(verb="park"), "asha.csv")
    annotations.drop(THEIRS, "asha.csv.classes.csv")
    annotations.drop(_epic(verb="park", narration="as well"), "ravi.csv")
    assert {label.annotator: label.verb for label in annotations.read()} == {"asha": "place", "ravi": "park"}


def test_names_of_classes_are_read_in_every_format(annotations: Any) -> None:
    annotations.drop(
        "annotation_id,annotator,layer,start_ns,end_ns,verb,noun,text\n1,asha,action,0,9,park,cover,\n", "x.csv"
    )
    annotations.drop(THEIRS, "x.csv.classes.csv")
    (label,) = annotations.read()
    assert (label.verb, label.noun) == ("place", "lid")


def test_classes_come_back_as_they_went(annotations: Any, make_job: Callable[..., Job]) -> None:
    words = [("grasp", "plate"), ("put down", "Lid"), ("juggle", ""), ("wash", "Dosa")]
    labels = [
        Drawn(f"n{at}", "asha", "action", at * 10**9, (at + 1) * 10**9, verb=verb, noun=noun, text=f"no. {at}")
        for at, (verb, noun) in enumerate(words)
    ]
    job = make_job(*labels, classes=_mapping())
    written = format_named("epic").write(job)[f"{job.name}.csv"]
    rows = list(csv.DictReader(io.StringIO(written.decode())))
    numbers = [(row["verb_class"], row["noun_class"], row["all_noun_classes"]) for row in rows]
    assert numbers == [("0", "2", "[2]"), ("7", "5", "[5]"), ("-1", "-1", "[]"), ("-1", "-1", "[-1]")]

    annotations.know(job.proxy)
    annotations.drop(written, "asha.csv")
    annotations.drop(THEIRS, "asha.csv.classes.csv")
    back = annotations.read()
    assert [(label.verb, label.noun) for label in back] == [
        ("grasp", "plate"), ("place", "lid"), ("juggle", None), ("wash", "Dosa")
    ]  # fmt: skip
    assert [json.loads(label.attributes)["is_known_verb"] for label in back] == [True, True, False, True]


def test_a_word_that_a_class_gave_is_written_as_that_class_again(make_job: Callable[..., Job]) -> None:
    label = Drawn("n1", "asha", "action", 0, 10**9, verb="pick-up", verb_meant="grasp", text="takes it")
    theirs = _mapping(f"{HEADER}\nverb,3,seize,grasp\nverb,4,hoist,lift\n")
    (content,) = format_named("epic").write(make_job(label, classes=theirs)).values()
    (row,) = csv.DictReader(io.StringIO(content.decode()))
    assert (row["verb"], row["verb_class"]) == ("pick-up", "3")


@pytest.fixture
def take_in(tmp_path: Path) -> Callable[..., Any]:
    """Import an EPIC file of our session."""

    def run(theirs: str | None = None, **options: Any) -> Any:
        (tmp_path / "kitchen.csv").write_text(_epic(verb="park"))
        if theirs is not None:
            (tmp_path / "theirs.csv").write_text(theirs)
            options["class_mapping"] = tmp_path / "theirs.csv"
        (filed,) = file_annotations(
            tmp_path / "kitchen.csv", tmp_path / "annotations", SESSION, "asha", require_session=str, **options
        )
        return filed

    return run


def test_an_import_files_the_mapping_beside_the_labels_and_keeps_it(annotations: Any, take_in: Any) -> None:
    filed = take_in(THEIRS)
    assert (filed.label_count, filed.is_unchanged) == (1, False)
    assert sorted(path.name for path in annotations.session.iterdir()) == [
        "asha.kitchen.csv",
        "asha.kitchen.csv.classes.csv",
    ]
    assert take_in().is_unchanged
    assert take_in(THEIRS).is_unchanged
    assert [label.verb for label in annotations.read()] == ["place"]


def test_another_mapping_takes_the_place_of_the_first_only_when_asked(annotations: Any, take_in: Any) -> None:
    take_in(THEIRS)
    other = f"{HEADER}\nverb,0,park,hold\n"
    with pytest.raises(AnnotationFileError, match=r"another file 'asha\.kitchen\.csv\.classes\.csv' was filed before"):
        take_in(other)
    assert not take_in(other, is_replacing=True).is_unchanged
    assert [label.verb for label in annotations.read()] == ["hold"]


def test_a_mapping_that_cannot_be_used_keeps_the_file_out(annotations: Any, take_in: Any) -> None:
    with pytest.raises(
        AnnotationFileError, match=r"class_id is 'x', expected a whole number\. 'kitchen.csv' was not filed"
    ):
        take_in(f"{HEADER}\nverb,x,park,hold\n")
    assert not annotations.root.exists()


@pytest.mark.parametrize("name", ["a.classes.csv", "a.proxy.json", "a.txt", ".a.csv"])
def test_a_file_that_no_run_would_read_is_not_taken_in(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(_epic(verb="park"))
    with pytest.raises(AnnotationFileError, match="its name is none of a label file"):
        file_annotations(tmp_path / name, tmp_path / "annotations", SESSION, None, require_session=str)
