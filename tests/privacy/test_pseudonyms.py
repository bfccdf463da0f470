"""Pseudonyms are stable under one key, unlinkable under another, and safe as partition values."""

import re

from hypothesis import given
from hypothesis import strategies as st

from harchive_dagster.privacy.pseudonyms import Pseudonymiser

ONE, OTHER = Pseudonymiser(b"0123456789abcdef"), Pseudonymiser(b"fedcba9876543210")


@given(st.text())
def test_a_name_always_gets_the_same_pseudonym_of_a_safe_form(name):
    assert ONE.participant(name) == ONE.participant(name)
    assert re.fullmatch(r"p-[a-z2-7]{20}", ONE.participant(name))


@given(st.text(), st.text())
def test_different_names_get_different_pseudonyms(a, b):
    assert (ONE.session(a) == ONE.session(b)) == (a == b)


@given(st.text())
def test_another_key_gives_another_pseudonym(name):
    assert ONE.participant(name) != OTHER.participant(name)


def test_a_worker_and_a_session_of_one_name_do_not_share_their_pseudonym():
    assert ONE.participant("x")[2:] != ONE.session("x")[2:] != ONE.annotator("x")[2:]


def test_an_annotator_whose_labels_come_back_under_the_pseudonym_is_no_second_one():
    asha = ONE.annotator("asha")
    assert ONE.annotator(asha) == asha
    assert ONE.annotator(f"{asha}x") not in (asha, f"{asha}x")


def test_the_key_is_not_shown():
    assert "0123456789" not in repr(ONE)
