"""What `streamlit run app.py` starts: one server with the pages, the chart library and the model downloads."""

import streamlit as st

from catfish_ui import guard, routes

app = st.App("catfish_ui/main.py", routes=routes.ROUTES, on_script_error=guard.on_script_error)
