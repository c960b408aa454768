"""Start the server: what `make app` runs. Arguments are Streamlit's own, such as ``--server.port 8502``."""

import sys
from pathlib import Path

from streamlit.runtime.pages_manager import PagesManager
from streamlit.web import cli

APP = Path(__file__).resolve().parents[2] / "app.py"


def main() -> None:
    """Run ``streamlit run app.py`` and never return.

    Streamlit takes the folder ``pages`` for its older kind of app until ``app.py`` has run once, so a link to /klom
    that is the first thing a fresh server sees would open with "Page not found". Saying beforehand that it is not one
    avoids that.
    """
    PagesManager.uses_pages_directory = False
    sys.argv = ["streamlit", "run", str(APP), *sys.argv[1:]]
    cli.main()


if __name__ == "__main__":
    main()
