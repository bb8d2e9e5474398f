"""The router: runs before every page, asks who is there, names the pages and catches what they could not do."""

from contextlib import suppress

import streamlit as st

from catfish_core.errors import CatfishError
from catfish_core.jobs import queue
from catfish_core.lab import settings
from catfish_ui import cache, guard, identity, lab_messages, places, style

st.set_page_config(page_title="CatFish", page_icon=style.ICON, layout="wide", initial_sidebar_state="collapsed")
style.apply()
admitted = guard.admitted()
shared = admitted and settings.read(cache.workspace()).shared
page = st.navigation(places.pages(shared), position="top" if admitted else "hidden")
if admitted:
    with suppress(CatfishError):  # a disk that refuses is said where something is to be started
        queue.ensure_dispatcher(cache.workspace())
    with guard.page_guard():
        lab_messages.show(identity.desk())
        page.run()
