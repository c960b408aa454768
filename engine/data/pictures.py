"""Turning one file's bytes into pixels with Pillow: bounded, by content rather than by name, first frame only."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")

_GREY = {"1", "L", "LA", "La", "I", "I;16", "I;16B", "I;16L", "I;16N"}
_WIDE = {"I", "I;16", "I;16B", "I;16L", "I;16N"}

_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    EOFError,
    AssertionError,
    RuntimeError,
    MemoryError,
    Warning,
    struct.error,
    zlib.error,
)
"""What Pillow's decoders raise on damaged files, gathered from their code; every one means the same to a visitor."""


class BadPicture(ValueError):
    """These bytes are not a picture that can be used; the text says why in a few words."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the header of a picture says."""

    width: int
    height: int
    grey: bool


@contextmanager
def bounded_decoder() -> Iterator[None]:
    """While inside, Pillow's warnings about decompression bombs are errors and its other remarks are silent."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def look(data: bytes, max_pixels: int) -> Look:
    """Read a picture's size and kind without decoding its pixels.

    Raises:
        BadPicture: not a picture of an accepted format (``FORMATS``), damaged, or over ``max_pixels``.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image.size, max_pixels)
            return Look(*image.size, grey=image.mode in _GREY)
    except BadPicture:
        raise
    except Image.UnidentifiedImageError as error:
        raise BadPicture("not a picture") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadPicture("too many pixels") from error
    except _BROKEN as error:
        raise BadPicture("damaged") from error


def decode(data: bytes, *, width: int, height: int, grey: bool, max_pixels: int) -> np.ndarray:
    """Return uint8 pixels (C, height, width), C = 1 when ``grey`` and 3 otherwise.

    Pictures of another size are stretched to this one (Pillow's bilinear filter with antialiasing). Of an animation the
    first frame is taken; 16-bit grey keeps its upper byte; transparent parts are laid over white; palettes, CMYK and
    the like become RGB. Rotation notes (EXIF) are not applied.

    Raises:
        BadPicture: damaged, over ``max_pixels``, or of a kind that has no fixed brightness (floating point).
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check_size(image.size, max_pixels)
            image.load()
            _check_size(image.size, max_pixels)
            flat = _flatten(image, grey)
            if flat.size != (width, height):
                flat = flat.resize((width, height), Image.Resampling.BILINEAR)
            pixels = np.asarray(flat, dtype=np.uint8).reshape(height, width, 1 if grey else 3)  # (H, W, C)
    except BadPicture:
        raise
    except _BROKEN as error:
        raise BadPicture("damaged") from error
    return pixels.transpose(2, 0, 1)  # (C, H, W)


def _check_size(size: tuple[int, int], max_pixels: int) -> None:
    if size[0] < 1 or size[1] < 1:
        raise BadPicture("an empty picture")
    if size[0] * size[1] > max_pixels:
        raise BadPicture(f"{size[0]}x{size[1]} is too many pixels")


def _flatten(image, grey: bool):  # noqa: ANN001, ANN202 - Pillow is imported only where it is used
    from PIL import Image

    if image.mode == "F":
        raise BadPicture("floating-point pixels")
    if image.mode in _WIDE:
        wide = np.asarray(image).astype(np.int64).clip(0, 65535)  # (H, W)
        image = Image.fromarray((wide >> 8).astype(np.uint8))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.new("RGBA", image.size, "white")
        image.alpha_composite(layer)
    return image.convert("L" if grey else "RGB")
