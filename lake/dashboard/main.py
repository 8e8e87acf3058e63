"""The script that Streamlit runs: `lakehouse dashboard` starts it."""

from __future__ import annotations

import streamlit as st

from lake.commands.extras import extras
from lake.dashboard.pages import browse, operations, quality
from lake.dashboard.palette import BLUE
from lake.dashboard.sight import followed

# Who goes through a page by the Tab key sees where he is. (Streamlit would print a text that stands alone.)
_STYLE = f"""<style>
    :focus-visible {{ outline: 3px solid {BLUE} !important; outline-offset: 2px; }}
    /* An input within such an element is hidden, or its box would cut the frame off. */
    [data-focus-visible=true]:not(input), [role=group]:has(> input:focus-visible) {{
        outline: 3px solid {BLUE}; outline-offset: 2px;
    }}
    [data-focus-visible=true] input, [role=group] > input {{ outline: none !important; }}
    .stMainBlockContainer {{ padding-top: 3rem; padding-bottom: 2rem; }}
</style>"""

st.set_page_config(page_title="Lakehouse", page_icon=":material/water:", layout="wide")
st.html(_STYLE)
_pages = {"operations": operations, **dict(extras("pages")), "quality": quality, "tables": browse}
st.navigation(
    [
        st.Page(followed(page), title=name.replace("_", " ").capitalize(), url_path=name, default=page is operations)
        for name, page in _pages.items()
    ]
).run()
