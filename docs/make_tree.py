"""Write tree.md, one sentence for every file, taken from the files themselves: ``make tree``."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREE = ROOT / "docs" / "tree.md"
TOP = {
    "Makefile": "",
    "app.py": "",
    "pages": "one folder a page; no torch, no maths",
    "engine": "",
    "assets": "icon, style sheet, the Start page's example, screenshots, and the scripts that make them",
    "benchmarks": "",
    "docs": "what is too long for the README",
    "tests": "mirrors the engine and the pages: contracts over the registries, facts, whole flows in a browser",
    "requirements.txt": "what Forgetscope runs on, pinned",
    "requirements-dev.txt": "what the tests need besides",
    "pyproject.toml": "settings of the linter and of the tests",
}
"""What the root holds, in the order of the tree, with a sentence where there is no file to take it from."""
FOLDED = "tests"
"""The folder whose files are not listed."""
FIRST_LINES = {".md": r"# (.+)", ".js": r"// (.+(?:\n// .+)*)", ".css": r"/\* (.+?) \*/", "": r"# (.+)"}
HEAD = """# The tree

Every file with its first sentence: of its docstring, its title or its first comment. `make tree` writes this page; to
change a line, change the file's own.

"""


def files() -> list[str]:
    """Return paths from the root: of the files that git tracks, or of all there are where git knows nothing."""
    git = shutil.which("git")
    if git and (ROOT / ".git").exists():
        listing = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
        if listing.returncode == 0:
            return sorted(name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file())
    paths = [path for top in TOP for path in [ROOT / top, *(ROOT / top).rglob("*")] if path.is_file()]
    return sorted(path.relative_to(ROOT).as_posix() for path in paths)


def sentence(text: str) -> str:
    """Return the first sentence of a text without its full stop, reStructuredText's marks turned into Markdown's."""
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    plain = re.sub(r":\w+:`~?([\w.]+)`", r"`\1`", paragraph).replace("``", "`")
    return re.split(r"\.(?=\s|$)", plain)[0]


def about(name: str) -> str:
    """Return the first sentence of a file, "" for one that has none."""
    path = ROOT / name
    if path.suffix == ".py":
        return sentence(ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "")
    if path.suffix not in FIRST_LINES:
        return ""
    first = re.match(FIRST_LINES[path.suffix], path.read_text("utf-8"))
    return sentence(first[1].replace("\n// ", " ")) if first else ""


def tree() -> str:
    """Return the text of tree.md."""
    names = files()
    sentences = {name: about(name) for name in names if not name.startswith(f"{FOLDED}/")}
    lines = []

    def add(name: str, depth: int, text: str) -> None:
        lines.append("  " * depth + f"- `{name}`" + (f": {text}" if text else ""))

    def add_folder(path: str, depth: int, text: str) -> None:
        add(f"{Path(path).name}/", depth, text or sentences.get(f"{path}/__init__.py", ""))
        inside = [name for name in sentences if name.startswith(f"{path}/") and sentences[name]]
        for name in inside:
            if Path(name).parent.as_posix() == path and Path(name).name != "__init__.py":
                add(Path(name).name, depth + 1, sentences[name])
        for folder in dict.fromkeys(name.removeprefix(f"{path}/").partition("/")[0] for name in inside):
            if (ROOT / path / folder).is_dir():
                add_folder(f"{path}/{folder}", depth + 1, "")

    for top, text in TOP.items():
        if top in names:
            add(top, 0, text or sentences[top])
        elif (ROOT / top).is_dir():
            add_folder(top, 0, text)
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    TREE.write_text(tree(), "utf-8")
