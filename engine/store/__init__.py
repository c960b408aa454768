"""Where results live: a folder of content-addressed artefacts that survives kills, full disks and two writers at once.

No torch here: the server that shows pages imports it. Level 2 of the engine.
"""

from engine.store.artefact import ARTEFACT_VERSIONS, Artefact
from engine.store.errors import StoreError
from engine.store.files import process_exists, this_host
from engine.store.parts import Part, PartWriter
from engine.store.pieces import Piece
from engine.store.root import STORE_FORMAT, Store, default_store

__all__ = [
    "ARTEFACT_VERSIONS",
    "STORE_FORMAT",
    "Artefact",
    "Part",
    "PartWriter",
    "Piece",
    "Store",
    "StoreError",
    "default_store",
    "process_exists",
    "this_host",
]
