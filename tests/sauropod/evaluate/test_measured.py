from sauropod.evaluate.measured import Measured, metrics_frame


def test_measured_numbers_become_a_metrics_table() -> None:
    frame = metrics_frame([Measured("m", 0.5, 3, 1.0)], model="a", benchmark="b", commit="c")
    assert frame.row(0) == ("a", "b", "m", 0.5, 3, 1.0, "c")
