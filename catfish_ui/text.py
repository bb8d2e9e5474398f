"""Numbers, times and other people's words as text for a page.  [no streamlit]"""

from __future__ import annotations

import re
from datetime import datetime
from math import floor, inf

_MARKUP = re.compile(r"([\\`*_{}\[\]()#+\-.!|~<>$&^])")
_JOINER = "\u2060"  # no width, no break: keeps ":name:", "->", "www." and "@" from being read as more than text


def plain(text: str) -> str:
    """`text` on one line with everything that Markdown would read as markup taken literally.

    Streamlit turns :name:, -> and addresses into icons, arrows and links after the escapes are gone; an invisible
    joiner keeps it from seeing them.
    """
    text = " ".join(text.split())
    text = re.sub(r"([:@])(?=\S)", r"\1" + _JOINER, text)
    text = re.sub(r"([-<>=~])(?=[-<>=~])", r"\1" + _JOINER, text)
    text = re.sub(r"(?i)\b(ww)(?=w\.)", r"\1" + _JOINER, text)
    return _MARKUP.sub(r"\\\1", text)


def shorten(text: str, length: int = 40) -> str:
    """`text`, cut in the middle of a word if need be, with an ellipsis, at most `length` characters."""
    return text if len(text) <= length else text[: length - 1].rstrip() + "…"


def percent(part: float | None, digits: int = 0) -> str:
    """0.873 as “87 %”; a dash for None. Never rounds up to 100 % what is less."""
    if part is None:
        return "–"
    shown = f"{part * 100:.{digits}f}"
    if part < 1 and float(shown) == 100:
        shown = f"{floor(part * 1000) / 10:.1f}"
    return f"{shown}\u00a0%"  # the sign must not be alone on a line


def count(number: int, one: str, many: str = "") -> str:
    """“1 photo”, “1,200 photos”."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def listed(words: list[str], last: str = "and") -> str:
    """“a”, “a and b”, “a, b and c”."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""


def duration(seconds: float) -> str:
    """Seconds as a person says them: “8 s”, “2 min 5 s”, “3 h 20 min”."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(round(whole / 60), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def roughly(seconds: float) -> str:
    """Seconds as an estimate says them, no more exact than it is: “8 s”, “25 s”, “2 min 10 s”, “3 h 20 min”."""
    step = next(step for limit, step in ((10, 1), (60, 5), (300, 10), (3600, 60), (inf, 600)) if seconds < limit)
    return duration(max(1, round(seconds / step) * step))


def pace(seconds: float) -> str:
    """A short time, with a decimal where it says something: “0.2 s”, “4.5 s”, “25 s”."""
    return f"{max(seconds, 0.1):.1f} s".replace(".0 s", " s") if seconds < 9.95 else roughly(seconds)


def ago(then: datetime, now: datetime) -> str:
    """How long ago `then` was: “just now”, “5 min ago”, “yesterday”, “3 May 2026”."""
    seconds = (now - then).total_seconds()
    if seconds < 60:
        return "just now"
    if seconds < 3600:
        return f"{int(seconds // 60)} min ago"
    if then.date() == now.date():
        return f"today, {then:%H:%M}"
    days = (now.date() - then.date()).days
    return f"yesterday, {then:%H:%M}" if days == 1 else f"{then.day} {then:%B %Y}"


def number(value: float) -> str:
    """A count in millions or thousands: 479_970 → “480 thousand”, 4_650_000 → “4.7 million”."""
    if value >= 1e6:
        return f"{value / 1e6:.1f}".removesuffix(".0") + " million"
    return f"{value / 1e3:.0f} thousand" if value >= 1e4 else f"{value:,.0f}"


def size(amount: float) -> str:
    """Bytes as disks are sold: “12 kB”, “640 MB”, “1.2 GB”."""
    for unit, least in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if amount >= least * 0.9995:
            shown = amount / least
            return f"{shown:.1f}".removesuffix(".0") + f" {unit}" if shown < 9.95 else f"{shown:,.0f} {unit}"
    return f"{amount:.0f} B"


_ORDINALS = {1: "next", 2: "second", 3: "third", 4: "fourth", 5: "fifth"}


def in_line(position: int) -> str:
    """A place in a queue, counted from 1: “next in line”, “second in line”, “number 12 in line”."""
    return f"{_ORDINALS.get(position, f'number {position:,}')} in line"


def rate(value: float) -> str:
    """A learning rate without zeros nobody reads: 0.001, 3e-05."""
    return f"{value:g}"


def hits(accuracy: float, samples: int) -> str:
    """0.87 of 100 as “87 of 100 unseen photos right”."""
    return f"{round(accuracy * samples):,} of {count(samples, 'unseen photo')} right"
