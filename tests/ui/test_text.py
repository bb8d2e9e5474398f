from datetime import datetime

import pytest

from catfish_ui import text

JOINER = "\u2060"


def test_markup_is_taken_literally():
    assert text.plain("**a** [b](c) `d` $x$ <i>") == r"\*\*a\*\* \[b\]\(c\) \`d\` \$x\$ \<i\>"


def test_icons_arrows_and_addresses_are_not_seen_by_streamlit():
    shown = text.plain(":smile: a->b www.x.y me@x")
    assert f":{JOINER}smile" in shown and f"{JOINER}" in shown.split("a")[1][:4]
    assert "www" not in shown and f"@{JOINER}x" in shown


def test_plain_keeps_to_one_line():
    assert text.plain("# a\n\n- b") == r"\# a \- b"


def test_plain_leaves_words_alone():
    assert text.plain("Größe 🐟, kôd") == "Größe 🐟, kôd"


@pytest.mark.parametrize(
    ("part", "digits", "shown"),
    [
        (0.873, 0, "87 %"),
        (None, 0, "–"),
        (1.0, 0, "100 %"),
        (0.9996, 0, "99.9 %"),
        (0.0, 0, "0 %"),
        (0.125, 1, "12.5 %"),
    ],
)
def test_percent_never_rounds_up_to_all(part, digits, shown):
    assert text.percent(part, digits) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.2, "0 s"), (59.4, "59 s"), (60, "1 min"), (125, "2 min 5 s"), (3599, "1 h 0 min"), (12_000, "3 h 20 min")],
)
def test_duration(seconds, shown):
    assert text.duration(seconds) == shown


@pytest.mark.parametrize(
    ("then", "shown"),
    [
        (datetime(2026, 3, 5, 11, 59, 30), "just now"),
        (datetime(2026, 3, 5, 11, 30), "30 min ago"),
        (datetime(2026, 3, 5, 8, 5), "today, 08:05"),
        (datetime(2026, 3, 4, 23, 5), "yesterday, 23:05"),
        (datetime(2026, 2, 1, 8, 0), "1 February 2026"),
    ],
)
def test_ago(then, shown):
    assert text.ago(then, datetime(2026, 3, 5, 12, 0)) == shown


def test_counts_and_lists():
    assert text.count(1, "class", "classes") == "1 class" and text.count(1200, "photo") == "1,200 photos"
    assert text.listed([]) == "" and text.listed(["a"]) == "a" and text.listed(["a", "b", "c"]) == "a, b and c"
    assert text.number(479_970) == "480 thousand" and text.number(4.65e6) == "4.7 million"
    assert text.hits(0.87, 100) == "87 of 100 unseen photos right"
    assert text.shorten("a" * 50, 10) == "a" * 9 + "…"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.2, "1 s"),
        (7.6, "8 s"),
        (23, "25 s"),
        (59, "1 min"),
        (127, "2 min 10 s"),
        (700, "12 min"),
        (11_900, "3 h 20 min"),
    ],
)
def test_an_estimate_is_no_more_exact_than_it_is(seconds, shown):
    assert text.roughly(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.01, "0.1 s"), (0.24, "0.2 s"), (3.0, "3 s"), (9.97, "10 s"), (26, "25 s")]
)
def test_a_short_time_has_a_decimal(seconds, shown):
    assert text.pace(seconds) == shown
