"""The script that Streamlit runs: `lakehouse dashboard` starts it."""

from __future__ import annotations

import streamlit as st

from lake.commands.extras import extras
from lake.dashboard.pages import browse, operations, quality
from lake.dashboard.sight import guarded

st.set_page_config(page_title="Lakehouse", page_icon=":material/water:", layout="wide")
_pages = {"operations": operations, **dict(extras("pages")), "quality": quality, "tables": browse}
st.navigation(
    [
        st.Page(guarded(page), title=name.replace("_", " ").capitalize(), url_path=name, default=page is operations)
        for name, page in _pages.items()
    ]
).run()
