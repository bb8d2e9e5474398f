"""A prediction in words and bars.  [no streamlit]"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from catfish_core.serving.client import Answer
from catfish_ui.text import count, percent

BARS = 5  # classes shown; the rest is summed up


def certainty(p: float) -> str:
    """How sure the network is, as a person would say it."""
    words = "quite sure" if p >= 0.9 else "fairly sure" if p >= 0.7 else "not very sure" if p >= 0.5 else "guessing"
    return f"{percent(p)}, {words}"


def card(answer: Answer, truth: str | None = None) -> dict[str, Any]:
    """What the browser shows of `answer`; `truth` is the real class where it is known."""
    ranked = sorted(answer.probabilities.items(), key=lambda item: item[1], reverse=True)
    heatmap = b64encode(answer.heatmap_png).decode() if answer.heatmap_png else None
    return {
        "label": answer.label,
        "sure": certainty(answer.probabilities.get(answer.label, 0.0)),
        "truth": None if truth is None else "right" if truth == answer.label else f"really {truth}",
        "right": truth == answer.label,
        "name": answer.name,
        "bars": [{"name": name, "value": p, "text": percent(p, 1)} for name, p in ranked[:BARS]],
        "rest": _rest([p for _, p in ranked[BARS:]]),
        "photo": b64encode(answer.photo_jpeg).decode(),
        "heatmap": heatmap,
        "note": _note(answer) if answer.method else "",
    }  # fmt: skip


def _rest(others: list[float]) -> str:
    what = count(len(others), "other class", "other classes")
    return f"and {what}: {percent(sum(others), 1)}" if others else ""


def _note(answer: Answer) -> str:
    what = f"“{answer.target or answer.label}”"
    if not answer.heatmap_png:
        return (
            f"No heatmap: seen in layer {answer.layer}, nothing on this photo speaks for {what}; it was chosen for "
            "want of signs of anything else. Ask for another class, or look into an earlier layer."
        )
    if answer.method == "input-gradients":
        return (
            f"Warm colours: pixels whose change would change its mind about {what} the most. This network has no "
            "convolutions, so its view is as grainy as this."
        )
    return f"Warm colours: the parts of the photo that spoke for {what}. Grad-CAM, seen in layer {answer.layer}."
