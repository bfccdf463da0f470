"""Names of joints that a lab may see, and names that may have meant a person."""

import pytest

from harchive_dagster.labels.joints import is_plain_joint


@pytest.mark.parametrize(
    "name",
    ["wrist", "thumb_cmc", "index_finger_mcp", "left_little_distal", "spine_3", "joint_12", "camera", "right_big_toe"],
)
def test_names_of_the_usual_skeletons_are_plain(name):
    assert is_plain_joint(name)


@pytest.mark.parametrize(
    "name",
    [
        "ravi_kumar_9845012345", "sn_c3461325006789", "asha", "wrist_of_asha", "joint_98_45", "joint_984", "98", "",
        "wrist_", "wrist_\u0663", "left_left_left_left_left_left",
    ],
)  # fmt: skip
def test_a_name_with_any_other_word_or_a_long_number_is_not(name):
    assert not is_plain_joint(name)
