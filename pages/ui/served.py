"""Larger data for a component: served at an address, so that the browser fetches them once and not in every run."""

from __future__ import annotations

import streamlit as st
from streamlit.runtime import get_instance


def address(data: bytes, mime: str, *, key: str) -> str:
    """Return the address, on this server, at which the visitor's browser finds ``data``.

    ``key`` names the place on the page. The address names the content, so a browser that has it does not ask again, and
    sessions that show the same share it. It lives as long as a session's last run named it, so call it in every run;
    that hashes at most 200 kB. This is how Streamlit itself serves pictures and downloads.
    """
    path = get_instance().media_file_mgr.add(data, mime, key)
    base = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{base}{path}" if base else path
