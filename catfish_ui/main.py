"""The router: runs before every page, asks who is there, names the pages and catches what they could not do."""

import streamlit as st

from catfish_ui import guard, places, style

st.set_page_config(page_title="CatFish", page_icon=style.ICON, layout="wide", initial_sidebar_state="collapsed")
style.apply()
admitted = guard.admitted()
page = st.navigation(places.pages(), position="top" if admitted else "hidden")
if admitted:
    with guard.page_guard():
        page.run()
