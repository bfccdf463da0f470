import cv2
import pytest

from harchive_dagster.recording.opencv_threads import one_opencv_thread


@pytest.fixture
def three_threads():
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    yield
    cv2.setNumThreads(before)


@pytest.mark.usefixtures("three_threads")
def test_a_failure_gives_opencv_its_threads_back_and_the_next_call_takes_one_again():
    seen = []

    @one_opencv_thread()
    def fails():
        seen.append(cv2.getNumThreads())
        raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            fails()
        assert cv2.getNumThreads() == 3
    assert seen == [1, 1]
