"""The text that Prometheus reads, judged by its own client's parser."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from holdfast import metrics


def test_the_text_is_what_the_format_says() -> None:
    families = [
        metrics.counter("holdfast_refused_total", 'By "code", \\ and\nmore.', [({"code": 'a"b\\c\nd'}, 3), ({}, 0.5)]),
        metrics.gauge("holdfast_empty", "Nothing.", []),
        metrics.histogram("holdfast_batch_chains", "Sizes.", [({"worker": "0"}, [1, 2.5], [4, 0, 2], 17)]),
    ]
    assert metrics.exposition(families) == (
        '# HELP holdfast_refused_total By "code", \\\\ and\\nmore.\n'
        "# TYPE holdfast_refused_total counter\n"
        'holdfast_refused_total{code="a\\"b\\\\c\\nd"} 3\n'
        "holdfast_refused_total 0.5\n"
        "# HELP holdfast_batch_chains Sizes.\n"
        "# TYPE holdfast_batch_chains histogram\n"
        'holdfast_batch_chains_bucket{worker="0",le="1"} 4\n'
        'holdfast_batch_chains_bucket{worker="0",le="2.5"} 4\n'
        'holdfast_batch_chains_bucket{worker="0",le="+Inf"} 6\n'
        'holdfast_batch_chains_sum{worker="0"} 17\n'
        'holdfast_batch_chains_count{worker="0"} 6\n'
    )
    assert metrics.exposition([]) == ""


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.one_of(st.integers(0, 2**53), st.floats(allow_nan=False, allow_infinity=False)),
)
def test_what_is_written_is_read_by_them_and_by_us(help_: str, label: str, value: float) -> None:
    text = metrics.exposition([metrics.gauge("a_b", help_, [({"code": label, "worker": "0"}, value)])])
    (family,) = text_string_to_metric_families(text)
    (theirs,) = family.samples
    assert (theirs.name, dict(theirs.labels)) == ("a_b", {"code": label, "worker": "0"})
    assert math.isclose(theirs.value, value)
    (ours,) = metrics.parse_exposition(text)
    assert (ours.name, ours.labels, ours.value) == ("a_b", theirs.labels, theirs.value)


@pytest.mark.parametrize("line", ["a", "a b c", "a{ 1", "1a 1", 'a{b="c"}', "<html>"])
def test_a_line_that_is_no_sample_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"not a sample|could not convert"):
        list(metrics.parse_exposition(f"a 1\n{line}\n"))
