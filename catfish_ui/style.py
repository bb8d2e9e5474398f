"""The look that the theme cannot say: the logo, the width of a page, a few corrections."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

_ASSETS = Path(__file__).parent / "assets"
ICON = str(_ASSETS / "icon.svg")
LOGO = str(_ASSETS / "logo.svg")
_CSS = (_ASSETS / "style.css").read_text(encoding="utf-8")


def apply() -> None:
    """Put the logo and the style sheet on the page."""
    st.logo(LOGO, size="large")
    st.html(f"<style>{_CSS}</style>")
