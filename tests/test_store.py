"""The store: whole or absent, whatever happens to the process, the disk or the file beside it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from engine.queue import Queue, Shelf
from engine.queue.uses import delete_run, disk_use, free_unused, free_uploads, note_uses
from engine.store import Artefact, Piece, Store, StoreError, default_store, process_exists, this_host
from engine.store.uploads import UploadError, discard, keep, pack, path_of

ROOT = Path(__file__).resolve().parents[1]
SPEC = {"data": "9f", "seed": 3, "chunks": [1, 2]}
NUMBERS = [np.bool_, np.uint8, np.int64, np.float16, np.float32, np.float64]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def put(artefact: Artefact, part: str = "0000-0020", value: float = 1.0) -> None:
    with artefact.write(part) as writer:
        writer.arrays("margins", np.full((20, 7), value, np.float32))
        writer.tensors("weights", {"w": np.full((20, 3), value), "steps": np.asarray(5)})
        writer.json("about", {"value": value})


def assert_whole(artefact: Artefact, part: str, value: float) -> None:
    found = artefact.read(part)
    assert (found.array("margins") == np.full((20, 7), value, np.float32)).all()
    assert (found.tensors("weights")["w"] == value).all()
    assert found.json("about") == {"value": value}


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@contextlib.contextmanager
def as_ordinary_user() -> Iterator[Path]:
    """Give a folder of an unprivileged user, and be that user inside: root may write anywhere."""
    folder = Path(tempfile.mkdtemp(prefix="forgetscope-"))
    root = os.geteuid() == 0
    try:
        if root:
            os.chown(folder, 65534, 65534)
            os.seteuid(65534)
        yield folder
    finally:
        if root:
            os.seteuid(0)
        for path in [folder, *folder.rglob("*")]:
            if path.is_dir():
                path.chmod(0o700)
        shutil.rmtree(folder)


# --- what goes in comes out -------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    array=st.sampled_from(NUMBERS).flatmap(lambda kind: hnp.arrays(kind, hnp.array_shapes(min_dims=0, min_side=0))),
    fortran=st.booleans(),
)
def test_arrays_and_tensors_come_back_bit_for_bit(array: np.ndarray, fortran: bool) -> None:
    given = np.asfortranarray(array) if fortran and array.ndim else array
    with tempfile.TemporaryDirectory() as folder:
        artefact = Store.open(folder).artefact("margins", SPEC)
        with artefact.write("whole") as writer:
            writer.arrays("a", given)
            writer.tensors("t", {"x": given, "strided": np.repeat(given[None], 3, axis=0)[::2]})
        part = artefact.read("whole")
        for found in (part.array("a"), part.array("a", mmap=False), part.tensors("t")["x"]):
            assert found.shape == array.shape
            assert found.dtype == array.dtype
            assert found.tobytes() == array.tobytes()
        assert part.tensors("t")["strided"].tobytes() == 2 * array.tobytes()


def test_an_array_read_from_the_store_cannot_change_it(store: Store) -> None:
    artefact = store.artefact("margins", SPEC)
    put(artefact)
    array = artefact.read("0000-0020").array("margins")
    assert isinstance(array, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0] = 9


def test_parts_are_listed_sorted_and_looking_creates_nothing(store: Store) -> None:
    artefact = store.artefact("margins", SPEC)
    assert artefact.parts() == []
    assert not artefact.has("0000-0020")
    assert not artefact.path.exists()
    put(artefact, "0020-0040")
    put(artefact, "0000-0020")
    assert artefact.parts() == ["0000-0020", "0020-0040"]
    again = Store.open(store.path).artefact("margins", SPEC)
    assert again == artefact
    assert again.has("0020-0040")
    assert pickle.loads(pickle.dumps(again)).parts() == again.parts()  # noqa: S301 - sent to workers, never stored


def test_a_part_names_what_it_lacks(store: Store) -> None:
    artefact = store.artefact("margins", SPEC)
    put(artefact)
    part = artefact.read("0000-0020")
    for look in (part.array, part.tensors, part.json):
        with pytest.raises(StoreError, match=r"has no missing.* \(it has: about.json, margins.npy, weights"):
            look("missing")
    artefact.discard("0000-0020")
    with pytest.raises(StoreError, match="read part 0000-0020 of margins"):
        part.array("margins")


# --- names ------------------------------------------------------------------------------------------------------------

plain = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=9)
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(spec=st.dictionaries(st.text(), plain, max_size=4), added=st.text())
def test_the_key_is_the_whole_spec_and_nothing_else(spec: dict, added: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(folder)
        key = store.artefact("original", spec).key
        assert store.artefact("original", dict(reversed(spec.items()))).key == key
        assert store.artefact("original", json.loads(json.dumps(spec))).key == key
        assert store.artefact("oracle", spec).key != key
        assert store.artefact("original", {**spec, added: ["changed", spec.get(added)]}).key != key


def test_tuples_and_lists_are_the_same_spec(store: Store) -> None:
    put(store.artefact("margins", {**SPEC, "chunks": (1, 2)}))
    assert store.artefact("margins", SPEC).has("0000-0020")


def test_a_new_code_version_leaves_old_results_alone_and_unused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    old = store.artefact("margins", SPEC)
    put(old)
    monkeypatch.setattr("engine.store.artefact.ARTEFACT_VERSIONS", MappingProxyType({"margins": 2}))
    new = store.artefact("margins", SPEC)
    assert new.key != old.key
    assert not new.has("0000-0020")
    assert old.has("0000-0020")


@pytest.mark.parametrize("bad", ["", ".", "..", "../x", "a/b", "_done", "-x", "a b", "a\n", "é", "a.b"])
def test_no_name_reaches_outside_its_folder(store: Store, bad: str) -> None:
    artefact = store.artefact("margins", SPEC)
    for use in (artefact.has, artefact.read, artefact.discard):
        with pytest.raises(ValueError, match="a part must be letters"):
            use(bad)
    with pytest.raises(ValueError, match="a part must be letters"), artefact.write(bad):
        pass
    with artefact.write("whole") as writer:
        for name in (writer.arrays, writer.json):
            with pytest.raises(ValueError, match="a file's name must be letters"):
                name(bad, np.zeros(2))
        with pytest.raises(ValueError, match="a file's name must be letters"):
            writer.tensors(bad, {})
    with pytest.raises(ValueError, match="kind must be"):
        store.artefact(bad, SPEC)


@pytest.mark.parametrize("bad", [{"x": float("nan")}, {"x": np.zeros(3)}, {"x": {1, 2}}])
def test_a_spec_that_is_not_plain_data_is_refused(store: Store, bad: dict) -> None:
    with pytest.raises((ValueError, TypeError)):
        store.artefact("margins", bad)


# --- never half -------------------------------------------------------------------------------------------------------


def test_spec_first_marker_last_and_nothing_visible_before(store: Store) -> None:
    artefact = store.artefact("margins", SPEC)
    with artefact.write("whole") as writer:
        assert json.loads((artefact.path / "spec.json").read_text()) == {"kind": "margins", "version": 1, "spec": SPEC}
        writer.json("about", 1)
        assert not artefact.has("whole")
        assert artefact.parts() == []
        with pytest.raises(StoreError, match="is not finished"):
            artefact.read("whole")
        assert not (writer.folder / "_done.json").exists()
    assert artefact.read("whole").json("about") == 1


def test_a_body_that_raises_leaves_nothing(store: Store) -> None:
    artefact = store.artefact("margins", SPEC)

    def interrupted() -> None:
        with artefact.write("whole") as writer:
            writer.json("about", 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert artefact.parts() == []
    assert list((store.path / "unfinished").iterdir()) == []


def test_nothing_is_ever_pickled(store: Store) -> None:
    artefact = store.artefact("margins", SPEC)
    with pytest.raises(ValueError, match="allow_pickle=False"), artefact.write("whole") as writer:
        writer.arrays("objects", np.array([{}, []], dtype=object))
    assert not artefact.has("whole")
    with artefact.write("whole") as writer, (writer.folder / "planted.npy").open("wb") as file:
        np.save(file, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(StoreError, match="allow_pickle=False"):
        artefact.read("whole").array("planted", mmap=False)


def test_names_are_written_once(store: Store) -> None:
    artefact = store.artefact("margins", SPEC)
    with artefact.write("whole") as writer:
        for write, value in ((writer.arrays, np.zeros(2)), (writer.tensors, {"a": np.zeros(2)}), (writer.json, 1)):
            write("x", value)
            with pytest.raises(ValueError, match="written twice"):
                write("x", value)


WRITER = """
import sys, numpy as np
from engine.store import Store
artefact = Store.open(sys.argv[1]).artefact("margins", {"x": 1})
with artefact.write("whole") as writer:
    writer.arrays("margins", np.full((200, 1000), float(sys.argv[2])))
    print("half", flush=True)
    sys.stdin.readline()
    writer.json("who", float(sys.argv[2]))
"""


def test_a_killed_writer_leaves_no_part_and_its_rest_is_swept(store: Store) -> None:
    artefact = store.artefact("margins", {"x": 1})
    unfinished = store.path / "unfinished"
    with python(WRITER, store.path, 1) as writer:
        assert writer.stdout.readline() == "half\n"
        Store.open(store.path)
        assert len(list(unfinished.iterdir())) == 1, "a living writer's files were swept"
        writer.send_signal(signal.SIGKILL)
        assert writer.wait() == -signal.SIGKILL
    assert not artefact.has("whole")
    assert artefact.parts() == []
    assert len(list(unfinished.iterdir())) == 1
    with artefact.write("whole") as again:
        again.json("who", 2)
    assert artefact.read("whole").json("who") == 2
    Store.open(store.path)
    assert list(unfinished.iterdir()) == []
    assert artefact.has("whole")


def test_what_other_hosts_are_writing_is_swept_after_a_day(store: Store) -> None:
    young, old, ours = (store.path / "unfinished" / f"{host}.1.abc" for host in ("far", "away", this_host()))
    for folder in (young, old, ours):
        folder.mkdir()
        (folder / "a.npy").write_bytes(b"x")
    long_ago = time.time() - 1.1 * 86400
    os.utime(old, (long_ago, long_ago))
    store.sweep()
    assert old.exists(), "a file in it is fresh: its writer lives"
    os.utime(old / "a.npy", (long_ago, long_ago))
    store.sweep()
    assert not old.exists()
    assert young.exists()
    assert ours.exists(), "process 1 of this host lives"


def test_two_processes_write_the_same_part_and_one_result_is_kept(store: Store) -> None:
    artefact = store.artefact("margins", {"x": 1})
    with python(WRITER, store.path, 1) as one, python(WRITER, store.path, 2) as two:
        for writer in (one, two):
            assert writer.stdout.readline() == "half\n"
        for writer in (one, two):
            writer.stdin.write("go\n")
            writer.stdin.flush()
        assert (one.wait(), two.wait()) == (0, 0)
    part = artefact.read("whole")
    assert part.json("who") in (1, 2)
    assert (part.array("margins") == part.json("who")).all()
    assert list((store.path / "unfinished").iterdir()) == []


def test_the_first_to_finish_is_kept_so_that_readers_see_no_change(store: Store) -> None:
    artefact = store.artefact("margins", SPEC)
    with artefact.write("0000-0020") as slow:
        slow.json("about", "slow")
        put(artefact, value=1)
        before = artefact.read("0000-0020").array("margins")
    assert_whole(artefact, "0000-0020", 1)
    assert (before == 1).all()


# --- disks and folders that refuse ------------------------------------------------------------------------------------


class Failing:
    """Lets ``good`` calls through, then raises once."""

    def __init__(self, real, good: int, number: int) -> None:
        self.real, self.good, self.number, self.hit = real, good, number, False

    def __call__(self, *arguments):
        self.good -= 1
        if self.good == -1:
            self.hit = True
            raise OSError(self.number, os.strerror(self.number))
        return self.real(*arguments)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_at_any_moment_leaves_nothing_half_written(
    store: Store, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    good, failed = 0, True
    while failed:
        spec = {"case": good}
        with monkeypatch.context() as patch:
            failing = Failing(os.fsync, good, number)
            patch.setattr(os, "fsync", failing)
            try:
                put(store.artefact("margins", spec))
                said = ""
            except StoreError as error:
                said = str(error)
        assert ("The disk is full" in said and "delete runs" in said) == failing.hit
        assert list((store.path / "unfinished").iterdir()) == []
        artefact = store.artefact("margins", spec)
        if artefact.has("0000-0020"):
            assert_whole(artefact, "0000-0020", 1)
        put(artefact)
        assert_whole(artefact, "0000-0020", 1)
        failed, good = failing.hit, good + 1
    assert good > 6, "the disk should have failed at the spec, at each file, at the marker and after the move"


FULL_DISK = """
import sys, numpy as np
from pathlib import Path
from engine.store import Store, StoreError
from engine.queue import Queue
root = Path(sys.argv[1])
store = Store.open(root / "store")
queue = Queue(store.queue_path)
kept = store.artefact("margins", {"x": 0})
with kept.write("whole") as writer:
    writer.arrays("a", np.ones(1000))
big = np.zeros((1500, 1000))
cases = {"arrays": big, "tensors": {"w": big}, "json": "x" * 8_000_000}
for name, value in cases.items():
    artefact = store.artefact("margins", {"x": name})
    try:
        with artefact.write("whole") as writer:
            getattr(writer, name)("a", value)
    except StoreError as error:
        assert "The disk is full" in str(error), error
    else:
        raise SystemExit(f"{name} fitted")
    assert not artefact.has("whole") and not list((store.path / "unfinished").iterdir())
queue.submit({"kept": 1}, session="a")
try:
    queue.submit({"big": "x" * 8_000_000}, session="a")
except StoreError as error:
    assert "The disk is full" in str(error), error
else:
    raise SystemExit("the recipe fitted")
with (root / "filler").open("wb") as filler:
    try:
        while filler.write(bytes(1 << 10)):
            filler.flush()
    except OSError:
        pass
    store = Store.open(root / "store")
    for use in (queue.runs, lambda: queue.submit({"small": 1}, session="a")):
        try:
            use()
        except StoreError as error:
            assert "The disk is full" in str(error), error
        else:
            raise SystemExit("SQLite found room on a full disk")
    assert (store.artefact("margins", {"x": 0}).read("whole").array("a") == 1).all()
    assert store.free(store.pieces()) > 8000
(root / "filler").unlink()
assert [row.recipe for row in queue.runs()] == [{"kept": 1}]
print("fine")
"""


def test_a_really_full_disk(tmp_path: Path) -> None:
    """On a disk of four megabytes, mounted in a namespace of its own where the system lets us."""
    disk = tmp_path / "disk"
    disk.mkdir()
    unshare = shutil.which("unshare")
    mount = f"mount -t tmpfs -o size=4m none {disk}"
    if unshare is None or subprocess.run([unshare, "-rm", "sh", "-c", mount], capture_output=True).returncode:
        pytest.skip("this system does not let us mount a small disk (needs user namespaces)")
    command = [unshare, "-rm", "sh", "-c", f'{mount} && exec "$0" -c "$1" "$2"', sys.executable, FULL_DISK, str(disk)]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert done.stdout == "fine\n", done.stderr


def test_a_full_disk_does_not_keep_the_store_from_opening(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    put(store.artefact("margins", SPEC))
    real = Path.mkdir

    def full(path: Path, *arguments: object, **named: object) -> None:
        if path.name.startswith(".probe"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, *arguments, **named)

    monkeypatch.setattr(Path, "mkdir", full)
    opened = Store.open(store.path)
    assert opened.free(opened.pieces()) > 0


@pytest.mark.parametrize("folder", ["", "artefacts", "data", "unfinished"])
@pytest.mark.parametrize("mode", [0o000, 0o500])
def test_a_folder_that_may_not_be_used_is_refused_in_words(folder: str, mode: int) -> None:
    with as_ordinary_user() as home:
        store = Store.open(home / "store")
        (store.path / folder).chmod(mode)
        with pytest.raises(StoreError, match=r"Not allowed to .* this user lacks permission\. Give this user"):
            Store.open(store.path)


def test_a_forbidden_write_or_read_says_so_and_leaves_nothing() -> None:
    with as_ordinary_user() as home:
        store = Store.open(home / "store")
        artefact = store.artefact("margins", SPEC)
        put(artefact, "0000-0020")
        artefact.path.chmod(0o500)
        with pytest.raises(StoreError, match="Not allowed to finish part 0020-0040"):
            put(artefact, "0020-0040")
        with pytest.raises(StoreError, match="Not allowed to delete part 0000-0020"):
            artefact.discard("0000-0020")
        assert list((store.path / "unfinished").iterdir()) == []
        artefact.path.chmod(0o000)
        for look in (artefact.has, artefact.read):
            with pytest.raises(StoreError, match="Not allowed to read part 0000-0020"):
                look("0000-0020")
        artefact.path.chmod(0o700)
        assert artefact.parts() == ["0000-0020"]
        assert_whole(artefact, "0000-0020", 1)


# --- what is not ours, or not known -----------------------------------------------------------------------------------


def snapshot(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ('{"format": 2}', "has format 2; this Forgetscope reads format 1"),
        ('{"format": "1"}', "has format '1'"),
        ('{"form": 1}', "VERSION is damaged"),
        ("[]", "VERSION is damaged"),
        ("", "VERSION is damaged"),
        ("\x00\x01", "VERSION is damaged"),
    ],
)
def test_an_unknown_version_is_refused_and_untouched(store: Store, version: str, said: str) -> None:
    put(store.artefact("margins", SPEC))
    (store.path / "VERSION").write_text(version)
    before = snapshot(store.path)
    with pytest.raises(StoreError, match=said):
        Store.open(store.path)
    assert snapshot(store.path) == before


def test_a_file_in_the_way_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(StoreError, match=r"is a file, not a folder\. Move it away"):
        Store.open(tmp_path / "file")
    with pytest.raises(StoreError, match=r"Could not open the store .*file/below"):
        Store.open(tmp_path / "file" / "below")
    store = Store.open(tmp_path / "store")
    store.data_cache.rmdir()
    store.data_cache.write_text("mine")
    with pytest.raises(StoreError, match=r"A file is in the way at .*data"):
        Store.open(store.path)
    assert (tmp_path / "file").read_text() == store.data_cache.read_text() == "mine"


def test_a_folder_with_other_things_in_it_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(StoreError, match=r"is not a store and not empty \(it holds thesis.tex\)"):
        Store.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_fresh_disk_may_become_a_store(tmp_path: Path) -> None:
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".keep").touch()
    Store.open(tmp_path)
    assert json.loads((tmp_path / "VERSION").read_text()) == {"format": 1}
    assert not list(tmp_path.glob(".VERSION*"))


OPENER = """
import sys
from engine.store import Store
print("ready", flush=True)
sys.stdin.readline()
Store.open(sys.argv[1])
"""


def test_many_may_make_the_store_at_once(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        openers = [stack.enter_context(python(OPENER, tmp_path / "store")) for _ in range(3)]
        for opener in openers:
            assert opener.stdout.readline() == "ready\n"
        for opener in openers:
            opener.stdin.write("go\n")
            opener.stdin.flush()
        assert [opener.wait() for opener in openers] == [0, 0, 0]


@pytest.mark.parametrize("text", ['{"kind":"margins","version":1,"spec":{"seed":4}}', "", "{", "[]"])
def test_a_spec_that_differs_is_refused(store: Store, text: str) -> None:
    artefact = store.artefact("margins", SPEC)
    put(artefact)
    (artefact.path / "spec.json").write_text(text)
    with pytest.raises(StoreError, match="made from a different specification"):
        store.artefact("margins", SPEC)
    with pytest.raises(StoreError, match="made from a different specification"):
        put(artefact, "0020-0040")


def cut(folder: Path) -> None:
    os.truncate(folder / "margins.npy", 100)


def grow(folder: Path) -> None:
    with (folder / "weights.safetensors").open("ab") as file:
        file.write(b"x")


def flip(folder: Path) -> None:
    data = bytearray((folder / "margins.npy").read_bytes())
    data[-1] ^= 1
    (folder / "margins.npy").write_bytes(data)


def lose(folder: Path) -> None:
    (folder / "about.json").unlink()


def garble(folder: Path) -> None:
    (folder / "_done.json").write_text("{")


def hollow(folder: Path) -> None:
    (folder / "_done.json").write_text("{}")


def swap(folder: Path) -> None:
    other = folder.parent / "0020-0040"
    shutil.rmtree(folder)
    shutil.copytree(other, folder)


@pytest.mark.parametrize("damage", [cut, grow, flip, lose, garble, hollow, swap])
@pytest.mark.parametrize("discard", [True, False])
def test_a_damaged_part_is_refused_and_can_be_computed_again(store: Store, damage, discard: bool) -> None:
    artefact = store.artefact("margins", SPEC)
    put(artefact, "0000-0020", 1)
    put(artefact, "0020-0040", 2)
    damage(artefact.path / "0000-0020")
    with pytest.raises(StoreError, match=r"part 0000-0020 of margins .* is damaged .* Discard it and run again"):
        artefact.read("0000-0020")
    if discard:
        artefact.discard("0000-0020")
        artefact.discard("0000-0020")
        assert artefact.parts() == ["0020-0040"]
    put(artefact, "0000-0020", 3)
    assert_whole(artefact, "0000-0020", 3)
    assert_whole(artefact, "0020-0040", 2)


def test_of_a_large_file_the_size_is_checked(store: Store) -> None:
    artefact = store.artefact("margins", SPEC)
    with artefact.write("whole") as writer:
        writer.arrays("margins", np.zeros((1000, 1000), np.float32))
    size = artefact.read("whole").files["margins.npy"]
    assert size > 1 << 20
    os.truncate(artefact.path / "whole" / "margins.npy", size - 1)
    with pytest.raises(StoreError, match=f"margins.npy has {size - 1} bytes instead of {size}"):
        artefact.read("whole")


# --- room -------------------------------------------------------------------------------------------------------------


def test_a_part_being_written_survives_the_deletion_of_its_artefact(store: Store) -> None:
    artefact = store.artefact("margins", SPEC)
    put(artefact, "0000-0020")
    with artefact.write("0020-0040") as writer:
        writer.json("about", 1)
        assert store.free(store.pieces()) > 0
    assert artefact.parts() == ["0020-0040"]
    assert (artefact.path / "spec.json").is_file()


def test_usage_counts_everything_in_the_store(store: Store) -> None:
    (store.data_cache / "digits").write_bytes(b"x" * 1000)
    store.uploads.mkdir()
    (store.uploads / "archive").write_bytes(b"x" * 50)
    store.queue_path.write_bytes(b"x" * 20)
    rest = {"unfinished writes": 0, "queue file": 20}
    assert store.usage() == {"decoded data": 1000, "uploaded archives": 50, **rest}


def test_where_the_store_is_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("FORGETSCOPE_STORE", raising=False)
    assert default_store() == ROOT / ".store"
    monkeypatch.setenv("FORGETSCOPE_STORE", "")
    assert default_store() == ROOT / ".store"
    monkeypatch.setenv("FORGETSCOPE_STORE", str(tmp_path / "mine"))
    assert default_store() == tmp_path / "mine"


# --- the rest ---------------------------------------------------------------------------------------------------------


def test_a_process_that_ended_does_not_exist_even_before_it_is_waited_for() -> None:
    assert process_exists(os.getpid())
    assert not process_exists(0)
    with python("pass") as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert not process_exists(child.pid)
    assert this_host()


def test_the_server_can_import_it_without_heavy_libraries() -> None:
    heavy = {"torch", "streamlit", "distributed"}
    code = f"import sys, engine.store, engine.queue\nprint(sorted({heavy} & set(sys.modules)))"
    with python(code) as child:
        assert child.stdout.read() == "[]\n"


def test_which_parts_are_finished_is_asked_of_many_at_once(store: Store) -> None:
    one, two = store.artefact("trained", {"n": 1}), store.artefact("unlearned", {"n": 2})
    for artefact, part in ((one, "00000-00020"), (one, "00020-00040"), (two, "whole")):
        with artefact.write(part) as out:
            out.json("meta", {})
    (two.path / "half").mkdir()
    here = {Piece("trained", one.key, "00000-00020"), Piece("unlearned", two.key, "whole")}
    absent = {
        Piece("trained", one.key, "00040-00060"), Piece("trained", two.key, "whole"), Piece("map", one.key, "whole"),
        Piece("unlearned", two.key, "half"),
    }  # fmt: skip
    assert store.present(here | absent) == here
    assert {piece for piece in here | absent if store.holds(piece)} == here
    assert store.present([]) == set()


def test_pieces_are_counted_and_freed_one_by_one(store: Store) -> None:
    one, two = store.artefact("trained", SPEC), store.artefact("trained", {"other": 1})
    for artefact, part in ((one, "00000-00020"), (one, "00020-00040"), (two, "whole")):
        put(artefact, part)
    pieces = store.pieces()
    assert set(pieces) == {
        ("trained", one.key, "00000-00020"), ("trained", one.key, "00020-00040"), ("trained", two.key, "whole")
    }  # fmt: skip
    assert all(size > 20 * 7 * 4 for size in pieces.values())
    gone = Piece("trained", one.key, "00020-00040")
    before = store.usage()["trained"]
    assert store.free([gone, gone]) == pieces[gone] == before - store.usage()["trained"]
    assert one.parts() == ["00000-00020"]
    assert_whole(one, "00000-00020", 1)
    assert store.usage()["unfinished writes"] == 0
    assert store.free_bytes() > 0
    assert store.free([Piece("trained", two.key, "whole")]) > 0
    assert not two.path.exists(), "nothing is left of an artefact without parts"
    put(two, "whole")
    assert two.has("whole"), "and it can be computed again"
    with pytest.raises(ValueError, match="a key must be"):
        store.free([Piece("trained", "../../data", "whole")])


@pytest.fixture
def queue(store: Store) -> Queue:
    return Queue(store.queue_path)


def finished(queue: Queue, store: Store, *pieces: tuple[Artefact, str]) -> str:
    """Add a run that is over and needs these parts."""
    run = queue.submit({"dataset": {"key": "digits"}}, session="x")
    note_uses(queue, run, [Piece(a.kind, a.key, part) for a, part in pieces], complete=True)
    queue.set_status(run, "running")
    queue.set_status(run, "done")
    for artefact, part in pieces:
        put(artefact, part)
    return run


def test_deleting_a_run_frees_exactly_what_no_other_run_uses(store: Store, queue: Queue) -> None:
    shared, own = store.artefact("trained", SPEC), store.artefact("unlearned", SPEC)
    atlas = store.artefact("exploration", SPEC)
    put(atlas, "whole")
    small = finished(queue, store, (shared, "00000-00020"))
    large = finished(queue, store, (shared, "00000-00020"), (shared, "00020-00040"), (own, "00000-00020"))
    sizes = store.pieces()
    takes, left = disk_use(queue, store, queue.runs())
    both = sizes[Piece("trained", shared.key, "00000-00020")]
    rest = sizes[Piece("trained", shared.key, "00020-00040")] + sizes[Piece("unlearned", own.key, "00000-00020")]
    assert (takes[small].own, takes[small].shared) == (0, both)
    assert (takes[large].own, takes[large].shared) == (rest, both)
    assert left == 0, "maps serve everybody and count for nobody"
    assert delete_run(queue, store, large) == rest
    assert shared.parts() == ["00000-00020"]
    assert not own.parts()
    assert queue.recall("uses:" + large) is None
    assert delete_run(queue, store, small) == both
    assert set(store.pieces()) == {Piece("exploration", atlas.key, "whole")}


def test_nothing_is_freed_while_a_run_is_being_planned(store: Store, queue: Queue) -> None:
    artefact = store.artefact("trained", SPEC)
    done = finished(queue, store, (artefact, "00000-00020"))
    waiting = queue.submit({}, session="x")
    assert delete_run(queue, store, done) == 0, "the waiting run may be about to use it"
    note_uses(queue, waiting, [Piece("trained", artefact.key, "00000-00020")], complete=False)
    assert free_unused(queue, store) == 0
    note_uses(queue, waiting, [], complete=True)
    assert free_unused(queue, store) > 0
    assert not store.pieces()


def zipped(**files: bytes) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name, data in files.items():
            packed.writestr(name, data)
    return out


def test_an_upload_goes_by_its_hash_and_by_its_content(store: Store) -> None:
    archive = zipped(a=b"1")
    kept = keep(store, archive)
    assert kept == (hashlib.sha256(archive.getvalue()).hexdigest(), ".zip", len(archive.getvalue()))
    assert path_of(store, kept.id + kept.kind).read_bytes() == archive.getvalue()
    assert keep(store, archive) == kept
    assert [p.name for p in store.uploads.iterdir()] == [kept.id + ".zip"]
    assert not list((store.path / "unfinished").iterdir())
    for start, kind in ((b"\x1f\x8b", ".tar.gz"), (b"\xfd7zXZ\x00", ".tar.xz"), (b"\0" * 257 + b"ustar", ".tar")):
        assert keep(store, io.BytesIO(start + b"x" * 600)).kind == kind
    for junk in (b"", b"<html>", b"MZ" * 400, b"\x89PNG\r\n"):
        with pytest.raises(UploadError, match=r"empty|not a \.zip"):
            keep(store, io.BytesIO(junk))
    for name in ("../VERSION", "x.zip", kept.id, kept.id + ".sh", "/etc/passwd", kept.id + ".zip/../.."):
        with pytest.raises(ValueError, match="named by its hash"):
            path_of(store, name)


def test_an_upload_too_large_or_without_room_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.store.uploads.LARGEST", 1000)
    with pytest.raises(UploadError, match="larger than"):
        keep(store, zipped(a=b"x" * 2000))
    with pytest.raises(UploadError, match="larger than"):
        pack((f"a/{i}.png", io.BytesIO(b"x" * 400)) for i in range(4))
    monkeypatch.setattr(Store, "free_bytes", lambda _store: (1 << 30) + 10)
    with pytest.raises(UploadError, match="too little room"):
        keep(store, zipped(a=b"x"))
    assert not store.uploads.exists()


def test_a_folder_is_packed_the_same_way_every_time_and_never_leads_out() -> None:
    files = [("pets/cat/1.png", b"1"), ("pets/dog/2.png", b"2")]
    packed = pack((name, io.BytesIO(data)) for name, data in files)
    assert packed.getvalue() == pack((name, io.BytesIO(data)) for name, data in reversed(files)).getvalue()
    assert sorted(zipfile.ZipFile(packed).namelist()) == ["pets/cat/1.png", "pets/dog/2.png"]
    for bad in ("../x.png", "a/../../x.png", "/etc/x.png", "a\\..\\..\\x.png", "", "a\0.png"):
        with pytest.raises(UploadError, match="leads out"):
            pack([(bad, io.BytesIO(b""))])
    with pytest.raises(UploadError, match="twice"):
        pack([("a/1.png", io.BytesIO()), ("a//1.png", io.BytesIO())])
    with pytest.raises(UploadError, match="no pictures"):
        pack([])
    with pytest.raises(UploadError, match="Pack it into an archive"):
        pack((f"a/{i}.png", io.BytesIO()) for i in range(20_001))


def test_an_upload_stays_while_a_run_or_a_shelf_names_it(store: Store, queue: Queue) -> None:
    shelf, kept = Shelf(store.queue_path), keep(store, zipped(a=b"1"))
    path = path_of(store, kept.id + kept.kind)
    long_ago = time.time() - 3600
    os.utime(path, (long_ago, long_ago))
    shelf.add_upload(kept.id, owner="me", name="mine", kind=kept.kind, size=kept.size)
    assert free_uploads(queue, store) == 0
    run = queue.submit({"dataset": {"key": "folder", "path": str(path)}}, session="x")
    shelf.remove_upload(kept.id, owner="me")
    assert free_uploads(queue, store) == 0
    queue.request_cancel(run)
    assert delete_run(queue, store, run) == kept.size
    assert not path.exists()
    fresh = keep(store, zipped(a=b"2"))
    assert free_uploads(queue, store) == 0, "it may be on its way to a shelf"
    assert discard(store, fresh.id + fresh.kind) == fresh.size
    assert discard(store, fresh.id + fresh.kind) == 0
