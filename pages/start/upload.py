"""Uploads: an archive, a folder or a table, stored under its hash, read by the compute process.

An upload is visible to its owner alone until it is shared. Its name is only displayed; on disk it has its hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePath
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.uploaded_file_manager import UploadedFile

from engine.queue import Upload
from engine.queue.uses import free_uploads
from engine.store import StoreError
from engine.store.uploads import UploadError, discard, keep, pack, path_of
from pages.ui import asking, say, workspace

MOST = 20
"""Uploads per visitor."""
ARCHIVES = ("zip", "tar", "gz", "tgz", "xz", "csv")
PICTURES = ("png", "jpg", "jpeg", "gif", "bmp", "webp", "tif", "tiff", "ppm", "pgm", "pbm")
TABLE = ".csv"
_OPTION = "up:"


def option(upload_id: str) -> str:
    """Return the option of an upload among the choices of data sets."""
    return _OPTION + upload_id


def dataset(upload: Upload) -> dict[str, Any]:
    """Return the data set of a recipe that stands for an upload; a table still needs its target."""
    if upload.kind == TABLE:
        return {"key": "csv", "path": str(path_of(workspace.store(), upload.file)), "target": ""}
    return {"key": "folder", "path": str(path_of(workspace.store(), upload.file))}


def of_dataset(choice: dict[str, Any]) -> Upload | None:
    """Return the upload that a recipe's data set stands for, ``None`` when it is another."""
    path = PurePath(str(choice.get("path", "")))
    if path.parent != workspace.store().uploads:
        return None
    return workspace.shelf().upload(path.name.partition(".")[0])


def listed() -> list[Upload]:
    """Return the uploads that this visitor may choose: own ones, and what others share."""
    return workspace.shelf().uploads(workspace.visitor())


def box() -> None:
    """Draw where pictures are dropped, what became of the last ones, and the visitor's uploads."""
    fresh = st.session_state.get("upload-new")
    refused = st.session_state.get("upload-refused", "")
    with st.expander("Bring your own data", expanded=bool(fresh or refused), key="bring", on_change="rerun") as bring:
        if not (bring.open or fresh or refused):
            return
        st.html(
            '<p class="fs-small">One folder of pictures per class, such as cat/1.png and dog/7.jpg, with or without '
            "train and test around them. Or a table: a CSV file whose first line names its columns; you choose the one "
            "to predict. They stay on this machine, and only you see them, and runs on them, until you share them.</p>"
        )
        number = st.session_state.get("upload-round", 0)
        packed, loose = st.columns(2)
        archive = packed.file_uploader(
            "An archive (.zip, .tar, .tar.gz, .tgz or .tar.xz) or a table (.csv)",
            type=list(ARCHIVES),
            key=f"archive-{number}",
        )
        folder = loose.file_uploader(
            "Or a folder", accept_multiple_files="directory", type=list(PICTURES), key=f"folder-{number}"
        )
        if archive is not None or folder:
            _take(archive, folder or [])
        if refused:
            st.html(
                f'<p class="fs-small strong" role="alert"><span class="fs-dot bad"></span>{say.escaped(refused)}</p>'
            )
        if fresh:
            _read(fresh)
        _mine()


def _take(archive: UploadedFile | None, folder: Sequence[UploadedFile]) -> None:
    """Store the files of an upload, remove the server's copy of them, and run the page again."""
    files = [*folder, *([archive] if archive is not None else [])]
    st.session_state.pop("upload-new", None)
    st.session_state["upload-refused"] = ""
    try:
        if archive is not None:
            upload = _keep(archive, archive.name)
        else:
            upload = _keep(pack((file.name, file) for file in folder), _top(folder))
        st.session_state["upload-new"] = upload.id
    except (UploadError, StoreError) as error:
        st.session_state["upload-refused"] = f"{_printable(files[-1].name)}: {error}" if archive else str(error)
    context = get_script_run_ctx()
    if context is not None:
        for file in files:
            context.uploaded_file_mgr.remove_file(context.session_id, file.file_id)
    st.session_state["upload-round"] = st.session_state.get("upload-round", 0) + 1
    st.rerun()


def _keep(archive: Any, name: str) -> Upload:
    own = [upload for upload in listed() if upload.owner == workspace.visitor()]
    if len(own) >= MOST:
        raise UploadError(f"You have {MOST} uploads already. Delete one below, then try again.")
    stored = keep(workspace.store(), archive)
    return workspace.shelf().add_upload(
        stored.id, owner=workspace.visitor(), name=_printable(name), kind=stored.kind, size=stored.size
    )


def _top(folder: Sequence[UploadedFile]) -> str:
    """Return the name of the folder around the files, when their paths have one."""
    tops = {PurePath(file.name).parts[0] for file in folder if len(PurePath(file.name).parts) > 1}
    return tops.pop() if len(tops) == 1 else "folder"


def _printable(name: str) -> str:
    """Return the last part of a file's name without characters that are invisible or change the direction of text."""
    return "".join(c for c in PurePath(name.replace("\\", "/")).name if c.isprintable())[:80] or "upload"


def _read(upload_id: str) -> None:
    """Have the new upload read; choose it when that went well, say why and drop it when not."""
    upload = next((u for u in listed() if u.id == upload_id and u.owner == workspace.visitor()), None)
    if upload is None:
        st.session_state.pop("upload-new", None)
        return
    question = {"kind": "data", "dataset": dataset(upload)}
    if upload.kind == TABLE:
        question = {"kind": "table", "path": dataset(upload)["path"]}
    reply = asking.ask(question, key="upload")
    if reply.ready:
        st.session_state.pop("upload-new")
        st.session_state["pick-data"] = option(upload.id)
        st.rerun()
    elif reply.error:
        st.session_state.pop("upload-new")
        st.session_state["upload-refused"] = say.sentence(reply.error)
        remove(upload)
        st.rerun()
    else:
        asking.wait(reply, what=f"Reading {upload.name}", key="upload")


def remove(upload: Upload) -> int:
    """Delete one of the visitor's uploads and return the bytes freed: 0 while others, or runs, still need it."""
    shelf, queue, store = workspace.shelf(), workspace.queue(), workspace.store()
    if not shelf.remove_upload(upload.id, owner=upload.owner):
        return 0
    path = dataset(upload)["path"]
    if any(run.recipe.get("dataset", {}).get("path") == path for run in queue.runs(limit=1_000_000)):
        return 0
    return discard(store, upload.file) + free_uploads(queue, store)


def _mine() -> None:
    own = [upload for upload in listed() if upload.owner == workspace.visitor()]
    for upload in own:
        with st.container(horizontal=True, vertical_alignment="center", key=f"upload-{upload.id[:12]}", gap="small"):
            st.html(
                f"<p style='margin:0'>{say.escaped(upload.name)} "
                f'<span class="fs-small">{say.size(upload.size)}, {say.ago(upload.created)}</span></p>',
                width="stretch",
            )
            shared = st.toggle(
                "Shared",
                value=upload.shared,
                key=f"share-{upload.id}",
                help="Every visitor of this server can choose this and see the runs on it.",
            )
            if shared != upload.shared:
                workspace.shelf().share_upload(upload.id, owner=upload.owner, shared=shared)
            if st.button("Delete", key=f"drop-{upload.id}"):
                remove(upload)
                st.rerun()
