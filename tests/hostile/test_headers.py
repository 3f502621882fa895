"""What a header of others may say, and what is made of it."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.foreign import retry_after

NOW = datetime(2026, 11, 30, 23, 59, 50, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7),
        (" 120 ", 60),
        ("9" * 40, 60),
        ("Tue, 01 Dec 2026 00:00:00 GMT", 10),  # RFC 9110, 5.6.7: the three forms that a recipient takes
        ("Tuesday, 01-Dec-26 00:00:00 GMT", 10),
        ("Tue, 01 Dec 2026 01:00:05 +0100", 15),
        ("Mon, 30 Nov 2026 00:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 60),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("1.5", None),
        ("\u0661", None),
        ("Tue, 01 Dec 2026 00:00:00", None),
    ],
)
def test_retry_after(header, seconds):
    assert retry_after(header, most=60, now=NOW) == seconds


@given(st.text(max_size=60))
def test_no_header_breaks_the_reader_or_asks_for_more_than_is_given(header):
    asked = retry_after(header, most=60, now=NOW)
    assert asked is None or 0 <= asked <= 60
