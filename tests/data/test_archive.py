"""Hostile and damaged archives, one by one, and random ones: only DataError, nothing written anywhere."""

import dataclasses
import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from picture_files import write_folder, write_tar, write_zip

from engine.data.archive import Limits, listing, members
from engine.data.base import DataError

SMALL = Limits(files=20, total_bytes=100_000, file_bytes=20_000, ratio=50, ratio_floor=50_000)


def read(path, limits=SMALL):
    return {member.name: member.data for member in members(path, limits)}


def tree(root):
    return sorted(str(path) for path in root.rglob("*"))


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz", "tgz", "tar.xz"])
def test_every_kind_yields_the_same_files_without_junk(tmp_path, kind):
    files = {"cat/1.png": b"one", "dog/b/2.png": b"", "dog/3": os.urandom(5000)}
    junk = {"__MACOSX/cat/._1.png": b"x", "cat/.DS_Store": b"x", "dog/Thumbs.db": b"x", ".git/config": b"x"}
    path = tmp_path / f"pictures.{kind}"
    if kind == "folder":
        write_folder(path, files | junk)
    elif kind == "zip":
        write_zip(path, files | junk)
    else:
        write_tar(path, files | junk, {"tar": "w", "tar.xz": "w:xz"}.get(kind, "w:gz"))
    before = tree(tmp_path)
    assert read(path) == files
    assert tree(tmp_path) == before
    assert [round(m.share, 6) for m in members(path, SMALL)][-1] <= 1


def test_kind_is_told_by_content_not_by_name(tmp_path):
    assert read(write_zip(tmp_path / "x.tar.gz", {"a/1": b"x"})) == {"a/1": b"x"}


@pytest.mark.parametrize(
    "name", ["../out.png", "a/../../out.png", "/abs.png", "C:/x.png", "c:x.png", "a\\b.png", "..", "a/b\x07.png"]
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_names_that_leave_the_archive_are_refused(tmp_path, name, kind):
    path = tmp_path / f"x.{kind}"
    (write_zip if kind == "zip" else write_tar)(path, {"a/1.png": b"x", name: b"x"})
    with pytest.raises(DataError, match=r"outside the archive|not a readable file name") as error:
        read(path)
    assert repr(name)[1:-1].split("\\x")[0] in str(error.value)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
def test_tar_links_and_devices_are_refused_by_name(tmp_path, kind):
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        info = tarfile.TarInfo("a/evil")
        info.type, info.linkname = kind, "../../etc/passwd"
        archive.addfile(info)
    with pytest.raises(DataError, match="a/evil is a link, a device"):
        read(tmp_path / "x.tar")


def test_sparse_tar_members_are_refused(tmp_path):
    info = tarfile.TarInfo("a/sparse")
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    header[156:157] = tarfile.GNUTYPE_SPARSE
    header[386:398], header[398:410] = b"00000000000\0", b"00000000000\0"
    header[483:495] = b"77777777777\0"  # claims 8 GiB from no data
    header[148:156] = b"        "
    header[148:156] = b"%06o\0 " % sum(header)
    (tmp_path / "x.tar").write_bytes(bytes(header) + bytes(1024))
    with pytest.raises(DataError, match="a/sparse is a link, a device or another special file"):
        read(tmp_path / "x.tar")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_zip_links_and_devices_are_refused_by_name(tmp_path, kind):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        info = zipfile.ZipInfo("a/evil")
        info.external_attr = (kind | 0o644) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="a/evil is a link, a device"):
        read(tmp_path / "x.zip")


def test_encrypted_and_unusually_packed_zip_members_are_refused(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"a/secret": b"x" * 50})
    raw = bytearray(path.read_bytes())
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(raw)
    with pytest.raises(DataError, match="a/secret is encrypted"):
        read(path)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a/rare", b"x" * 50)
    with pytest.raises(DataError, match="a/rare is packed in a rare way"):
        read(path)


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_too_many_files(tmp_path, kind):
    files = {f"a/{i}": b"" for i in range(21)}
    path = tmp_path / f"x.{kind}"
    {"folder": write_folder, "zip": write_zip, "tar": write_tar}[kind](path, files)
    with pytest.raises(DataError, match="more than 20 files"):
        read(path)
    assert len(read(path, dataclasses.replace(SMALL, files=25))) == 21


def test_a_zip_of_too_many_entries_is_refused_before_its_directory_is_parsed(tmp_path, monkeypatch):
    path = write_zip(tmp_path / "x.zip", {f"a/{i}": b"" for i in range(21)})
    monkeypatch.setattr(zipfile, "ZipFile", lambda *a: pytest.fail("the directory was parsed"))
    with pytest.raises(DataError, match="more than 20 files"):
        read(path)


@pytest.mark.parametrize("kind", ["folder", "zip", "tar"])
def test_one_file_too_large(tmp_path, kind):
    path = tmp_path / f"x.{kind}"
    {"folder": write_folder, "zip": write_zip, "tar": write_tar}[kind](path, {"a/big": os.urandom(20_001)})
    with pytest.raises(DataError, match="a/big is larger than"):
        read(path)


@pytest.mark.parametrize("kind", ["folder", "zip", "tar", "tar.gz"])
def test_too_many_bytes_in_all(tmp_path, kind):
    files = {f"a/{i}": os.urandom(19_000) for i in range(6)}
    path = tmp_path / f"x.{kind}"
    if kind == "folder":
        write_folder(path, files)
    elif kind == "zip":
        write_zip(path, files)
    else:
        write_tar(path, files, "w:gz" if kind == "tar.gz" else "w")
    with pytest.raises(DataError, match=r"holds more than 97\.6562 KiB of files"):
        read(path)


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz"])
def test_decompression_bombs_are_stopped_by_what_comes_out(tmp_path, kind):
    files = {f"a/{i}": bytes(19_000) for i in range(4)}
    path = tmp_path / f"x.{kind}"
    if kind == "zip":
        write_zip(path, files)
    else:
        write_tar(path, files, "w:gz" if kind == "tar.gz" else "w:xz")
    with pytest.raises(DataError, match="more than 50 times its size"):
        read(path)


def test_a_zip_header_that_understates_its_size_does_not_slip_through(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"a/liar": bytes(19_999)})
    raw = bytearray(path.read_bytes())
    start = raw.index(b"PK\x01\x02")
    raw[start + 24 : start + 28] = struct.pack("<I", 10)
    raw[22:26] = struct.pack("<I", 10)
    path.write_bytes(raw)
    with pytest.raises(DataError, match="a/liar is damaged"):
        read(path)


def test_a_tar_header_record_of_gigabytes_is_not_read_into_memory(tmp_path):
    header = tarfile.TarInfo("././@PaxHeader")
    header.type, header.size = tarfile.XHDTYPE, 1 << 32
    with gzip.open(tmp_path / "x.tar.gz", "wb") as file:
        file.write(header.tobuf(tarfile.PAX_FORMAT) + bytes(200_000))
    with pytest.raises(DataError, match="one file in it is larger than"):
        read(tmp_path / "x.tar.gz")


def test_endless_nested_headers_are_damage_not_a_crash(tmp_path):
    block = tarfile.TarInfo("././@LongLink")
    block.type, block.size = tarfile.GNUTYPE_LONGNAME, 512
    (tmp_path / "x.tar").write_bytes((block.tobuf(tarfile.GNU_FORMAT) + b"a".ljust(512, b"\0")) * 1500)
    with pytest.raises(DataError):
        read(tmp_path / "x.tar", Limits())


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz", "zip"])
def test_a_cut_archive_is_damaged_wherever_it_is_cut(tmp_path, kind):
    files = {f"a/{i}": os.urandom(700) for i in range(3)}
    path = tmp_path / f"x.{kind}"
    if kind == "zip":
        write_zip(path, files)
    else:
        write_tar(path, files, {"tar": "w", "tar.gz": "w:gz", "tar.xz": "w:xz"}[kind])
    raw = path.read_bytes()
    end = raw.rindex(files["a/2"]) + 700 if kind == "tar" else len(raw)
    for cut in sorted({512, 1536, 3072, *range(300, end, 97)} & set(range(300, end))):
        path.write_bytes(raw[:cut])
        with pytest.raises(DataError):
            read(path)


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(tmp_path):
    path = write_tar(tmp_path / "x.tar", {"a/1": b"x", "a/2": b"y", "a/3": b"z"})
    raw = bytearray(path.read_bytes())
    raw[1024 + 10] ^= 0xFF
    path.write_bytes(raw)
    with pytest.raises(DataError, match="damaged"):
        read(path)


def test_a_flipped_bit_behind_the_pictures_is_found_by_the_checksum(tmp_path):
    path = write_tar(tmp_path / "x.tar.gz", {"a/1": b"x"}, "w:gz")
    raw = bytearray(path.read_bytes())
    raw[-6] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DataError, match="damaged"):
        read(path)


@pytest.mark.parametrize("raw", [b"", b"hello", b"PK\x03\x04", b"\x1f\x8b", b"\xfd7zXZ\x00", bytes(2048)])
def test_what_is_not_an_archive_is_refused(tmp_path, raw):
    (tmp_path / "x.zip").write_bytes(raw)
    with pytest.raises(DataError, match=r"x\.zip"):
        read(tmp_path / "x.zip")


def test_missing_path_and_device(tmp_path):
    with pytest.raises(DataError, match="no such folder or archive"):
        read(tmp_path / "nothing.zip")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="no such folder or archive"):
        read(tmp_path / "pipe")


def test_folder_links_and_pipes_are_refused_not_followed(tmp_path):
    root = write_folder(tmp_path / "in", {"a/1.png": b"x"})
    (tmp_path / "secret").mkdir()
    (root / "b").symlink_to(tmp_path / "secret")
    with pytest.raises(DataError, match="b is a symbolic link"):
        listing(root)
    (root / "b").unlink()
    os.mkfifo(root / "a" / "pipe")
    with pytest.raises(DataError, match="a/pipe is a device or a pipe"):
        read(root)


names = st.one_of(
    st.text(max_size=20),
    st.lists(st.sampled_from(["..", ".", "", "a", "train", "\\", "C:", "b.png", "~"]), max_size=5).map("/".join),
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.dictionaries(names, st.binary(max_size=64), max_size=4),
    kind=st.sampled_from(["tar", "zip"]),
    flips=st.lists(st.tuples(st.integers(0, 4095), st.integers(0, 255)), max_size=3),
    packed=st.sampled_from([bytes, gzip.compress, lzma.compress]),
)
def test_random_archives_raise_only_data_errors_and_write_nothing(tmp_path, files, kind, flips, packed):
    file = io.BytesIO()
    if kind == "tar":
        with tarfile.open(fileobj=file, mode="w", errors="replace") as archive:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    else:
        with zipfile.ZipFile(file, "w") as archive:
            for name, data in files.items():
                archive.writestr(zipfile.ZipInfo(name), data)
    raw = bytearray(file.getvalue())
    for place, value in flips:
        raw[place % len(raw)] = value
    path = tmp_path / "x"
    path.write_bytes(packed(bytes(raw)) if kind == "tar" else raw)
    before = tree(tmp_path.parent)
    try:
        for member in members(path, SMALL):
            assert not {"..", ""} & set(member.parts)
            assert "\\" not in member.name
    except DataError:
        pass
    assert tree(tmp_path.parent) == before
