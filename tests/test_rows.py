import numpy as np

from nmt.text.rows import row_offsets, sum_rows, take_rows

LENS = np.array([2, 0, 3, 1], np.int32)


def test_rows_follow_each_other() -> None:
    assert row_offsets(LENS).tolist() == [0, 2, 2, 5]
    assert row_offsets(LENS[:0]).tolist() == []


def test_rows_are_taken_in_any_order() -> None:
    values = np.array([10, 11, 12, 13, 14, 15], np.uint16)
    order = [3, 2, 1, 2]
    taken = take_rows(values, row_offsets(LENS)[order], LENS[order])
    assert taken.tolist() == [15, 12, 13, 14, 12, 13, 14]
    assert taken.dtype == np.uint16
    assert take_rows(values, row_offsets(LENS)[:0], LENS[:0]).tolist() == []


def test_each_row_has_its_sum() -> None:
    values = np.array([1, 2, 3, 4, 5, 6], np.int32)
    sums = sum_rows(values, LENS)
    assert sums.tolist() == [3, 0, 12, 6]
    assert sums.dtype == np.int32
    assert sum_rows(values > 1, LENS.tolist()).tolist() == [1, 0, 3, 1]
    assert sum_rows(values[:0], [0, 0]).tolist() == [0, 0]
    assert sum_rows(values[:0], []).tolist() == []
