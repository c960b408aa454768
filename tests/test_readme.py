"""README and docs are true: examples run, commands parse, tables agree, links lead somewhere, the tree is current."""

import importlib
import json
import re
import runpy
import shlex
from pathlib import Path

import pytest
import small

from engine.cli.main import _parser, main
from engine.data import datasets
from engine.forget import selectors
from engine.registry import discover
from engine.train import last, train
from engine.unlearners.base import Unlearner

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = (ROOT / "docs" / "commands.md").read_text()


def fenced(text, language):
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def in_blocks(text):
    """Return the arguments of every `python -m engine` in the shell blocks."""
    lines = [line for block in fenced(text, "sh") for line in block.splitlines()]
    return [arguments(line) for line in lines if line.startswith("python -m engine ")]


def inline(text):
    spans = re.findall(r"`(python -m engine [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL))
    return [arguments(span) for span in spans if not span.endswith("COMMAND")]


def arguments(line):
    """Return what follows `python -m engine`, without comments and redirections."""
    return shlex.split(line.split(" > ")[0], comments=True)[3:]


def links(text):
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL))


def table(text, after=""):
    """Return the first table behind ``after`` as {row's name: {column: cell}}; of equal columns the first."""
    lines = text[text.index(after) :].splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| method"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return {row[0]: dict(reversed(list(zip(rows[0], row, strict=True)))) for row in rows[2:]}


@pytest.mark.parametrize("page", ["README.md", "docs/extending.md"])
def test_the_example_method_is_found_and_moves_the_network(page, tmp_path, monkeypatch):
    package = tmp_path / f"methods_of_{Path(page).stem.lower()}"
    package.mkdir()
    (package / "__init__.py").touch()
    (example,) = fenced((ROOT / page).read_text(), "python")
    (package / "shrug.py").write_text(example)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    (found,) = discover(package.name, Unlearner).values()
    method = found()
    original = last(
        train(small.net(), small.images(), small.training(), seed=0, role="original", ids=range(2), strategy="stacked")
    ).ensemble
    final = last(method.unlearn(original, small.task(original.net, small.images(), method.card.reads), seed=0))
    assert not small.same(final.ensemble, original)
    assert final.cost == method.planned_cost(forget=len(small.FORGET), retain=42, training=small.training())


def test_the_readme_is_short():
    assert len(README.encode()) <= 9_000, "move what is long to docs/ and link it"


def test_the_tree_is_current():
    made = runpy.run_path(str(ROOT / "docs" / "make_tree.py"))["tree"]()
    assert (ROOT / "docs" / "tree.md").read_text() == made, "run `make tree`"


def test_the_tree_has_a_sentence_for_every_file():
    lines = (ROOT / "docs" / "tree.md").read_text().splitlines()
    said = {line.split("`")[1] for line in lines if re.match(r" *- `[^`]+`: \S", line)}
    files = [f for top in ("engine", "pages", "benchmarks", "assets", "docs") for f in (ROOT / top).rglob("*.py")]
    assert {f.name for f in files} - {"__init__.py"} <= said


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    for target in links(page.read_text()):
        name, _, anchor = target.partition("#")
        if name.startswith("http"):
            continue
        aim = page.parent / name if name else page
        assert aim.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", aim.read_text(), flags=re.MULTILINE)
            assert anchor in [re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings], target


def test_every_page_of_docs_is_reached_from_the_readme():
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        reached.add(page)
        aims = {(page.parent / target.partition("#")[0]).resolve() for target in links(page.read_text())}
        waiting += [aim for aim in aims - reached if aim.suffix == ".md" and aim not in waiting]
    assert set(PAGES) <= reached


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_are_commands(page):
    text = page.read_text()
    for command in [*in_blocks(text), *inline(text)]:
        _parser().parse_args(command)  # exits, and so fails, on a flag or command that there is not
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z]+)\b", text, flags=re.MULTILINE)) <= targets


def test_every_recipe_in_a_shell_block_can_be_made(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("people.csv").write_text("age,income\n1,low\n2,high\n")
    Path("pets.zip").touch()
    recipes = [command for page in PAGES for command in in_blocks(page.read_text()) if command[0] == "recipe"]
    assert len(recipes) >= 8
    for command in recipes:
        assert main(command) == 0, command
        assert json.loads(capsys.readouterr().out)["format"] == 1


def test_the_readmes_table_is_part_of_the_demos():
    results = (ROOT / "docs" / "results.md").read_text()
    whole = table(results, "## Digits, 100 MLPs, forget 50 random pictures")
    short = table(README)
    assert {"**noise floor**", "do nothing", "**oracle matching**"} <= set(short)
    for method, cells in short.items():
        assert {column: whole[method][column] for column in cells} == cells


def test_every_command_variable_and_key_is_documented():
    commands = re.findall(r"^    (\w+)", _parser().format_help(), flags=re.MULTILINE)
    assert {"run", "recipe", "demo"} <= set(commands)
    sources = [path.read_text() for top in ("engine", "pages") for path in (ROOT / top).rglob("*.py")]
    variables = {name for source in sources for name in re.findall(r"FORGETSCOPE_[A-Z]+", source)}
    for name in [*commands, *variables, *selectors()]:
        assert re.search(rf"\b{name}\b", COMMANDS), f"docs/commands.md says nothing of {name}"
    for key in datasets():
        assert f"`{key}`" in (ROOT / "docs" / "data.md").read_text(), f"docs/data.md says nothing of {key}"
