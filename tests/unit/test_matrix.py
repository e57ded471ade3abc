"""The figures of the fault matrix, and how they get into its document."""

from tests.cluster.matrix import JOB_END, Note, percentile, rewrite, table


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 101)]
    assert [percentile(values, share) for share in (0.5, 0.99, 1)] == [50, 99, 100]
    assert percentile([7.0], 0.5) == 7


def test_a_row_has_its_median_and_its_worst() -> None:
    notes = [Note("test_endings.py::test_exit_code[1]", JOB_END, seconds) for seconds in (0.5, 0.25, 4.0)]
    found = table(notes, 3)
    assert "| test_endings.py: exit_code[1] | Job's end to outcome | 3 | 0.50 | 4.00 |" in found
    assert "3 trainings, p50 0.50 s, p99 4.00 s, worst 4.00 s" in found


def test_figures_are_replaced_and_the_rest_stays() -> None:
    document = "before\n<!-- figures: make matrix -->\nold\n<!-- end of figures -->\nafter\n"
    new = "before\n<!-- figures: make matrix -->\nnew\n<!-- end of figures -->\nafter\n"
    assert rewrite(document, "new\n") == new
