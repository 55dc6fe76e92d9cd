"""Ratios and gains, from times that are given."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import coder_rows
from benchmarks.coder_sources import gaussian_source, gaussian_tables
from benchmarks.coder_timing import Samples


def samples(*seconds: float) -> Samples:
    return Samples(np.array(seconds), 2 * np.array(seconds))


def test_ratios_are_taken_to_the_best_setting_in_the_same_round() -> None:
    source = gaussian_source("mid", 1000, gaussian_tables())
    taken = {
        "fcmrt avx2 1 encode": samples(1, 2, 4),
        "fcmrt avx2 1 decode": samples(1, 1, 1),
        "torch_ans a, tensor encode": samples(2, 6, 8),
        "torch_ans a, tensor decode": samples(9, 9, 9),
        "torch_ans b, bytes encode": samples(20, 20, 20),
        "torch_ans b, bytes decode": samples(5, 3, 4),
    }
    rows = [
        coder_rows.coder_row(source, taken, name, 10, coder=kind, implementation=setting, threads=1)
        for name, kind, setting in [
            ("fcmrt avx2 1", "fcmrt", "avx2"),
            ("torch_ans a, tensor", "torch_ans", "a, tensor"),
            ("torch_ans b, bytes", "torch_ans", "b, bytes"),
        ]
    ]
    found = {
        (row["direction"], row["peer"]): (row["setting"], row["ratio"])
        for row in coder_rows.ratio_rows(source, rows, taken)
    }
    assert found == {
        ("encode", "torch_ans"): ("a, tensor", 2.0),
        ("encode", "torch_ans, bytes"): ("b, bytes", 10.0),
        ("decode", "torch_ans"): ("b, bytes", 4.0),
        ("decode", "torch_ans, bytes"): ("b, bytes", 4.0),
    }
    assert coder_rows.best_settings(rows) == {("torch_ans", "a, tensor"), ("torch_ans", "b, bytes")}


def test_gain_of_threads_is_by_the_clock_on_the_wall() -> None:
    source = gaussian_source("mid", 1000, gaussian_tables())
    taken = {
        f"fcmrt avx2 {threads} {direction}": samples(*(k / threads for k in (2, 4, 6)))
        for threads in (1, 2)
        for direction in ("encode", "decode")
    }
    row = coder_rows.thread_rows(source, "avx2", 2, taken)
    assert row["encode"] == row["decode"] == pytest.approx(2.0)
