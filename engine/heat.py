"""Maps of attention as small pictures: heat over a picture, and differences in two colours. Pillow and numpy."""

from __future__ import annotations

import base64
import io

import numpy as np

from engine.theme import Look


def over(picture: np.ndarray, heat: np.ndarray, colour: str, *, side: int = 96, smooth: bool = True) -> str:
    """Return a PNG in a ``data:`` URL: a picture uint8 (h, w, C) in grey with ``heat`` (h', w') over it in a colour.

    The strongest place is opaque; a map that is 0 everywhere leaves the picture as it is.
    """
    base = _grown(picture.mean(axis=2), side, smooth=smooth)[..., None] * np.ones(3)  # (side, side, 3), grey
    strength = _grown(heat, side, smooth=smooth)
    peak = float(strength.max())
    alpha = (strength / peak if peak > 0 else strength)[..., None].clip(0, 1) * 0.85
    return _png(base * 0.75 * (1 - alpha) + _rgb(colour) * alpha)


def difference(first: np.ndarray, second: np.ndarray, colours: Look, *, side: int = 96, smooth: bool = True) -> str:
    """Return a PNG in a ``data:`` URL: where ``first`` (h, w) looks more (blue) and less (orange) than ``second``."""
    change = _grown(first - second, side, smooth=smooth)
    scale = max(1e-12, float(np.abs(change).max()))
    alpha = (np.abs(change) / scale)[..., None]
    hue = np.where((change > 0)[..., None], _rgb(colours.unlearned), _rgb(colours.original))
    return _png(_rgb(colours.paper) * (1 - alpha) + hue * alpha)


def plain(picture: np.ndarray, *, side: int = 96, smooth: bool = True) -> str:
    """Return a PNG in a ``data:`` URL of a picture uint8 (h, w, C), enlarged smoothly or pixel by pixel."""
    planes = [_grown(picture[..., c].astype(float), side, smooth=smooth) for c in range(picture.shape[2])]
    return _png(np.stack(planes if len(planes) == 3 else planes[:1] * 3, axis=2))


def _grown(values: np.ndarray, side: int, *, smooth: bool) -> np.ndarray:
    from PIL import Image  # only pages that show pictures pay for it

    how = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(values.astype(np.float32), mode="F").resize((side, side), how))


def _rgb(colour: str) -> np.ndarray:
    return np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)], float)


def _png(pixels: np.ndarray) -> str:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(out, "PNG")
    return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode("ascii")
