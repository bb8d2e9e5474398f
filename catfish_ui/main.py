"""The router: runs before every page, names the pages and catches what they could not do."""

import streamlit as st

from catfish_ui import guard, places, style

st.set_page_config(page_title="CatFish", page_icon=style.ICON, layout="wide", initial_sidebar_state="collapsed")
style.apply()
page = st.navigation(places.pages(), position="top")
with guard.page_guard():
    page.run()
