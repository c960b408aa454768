"""Data sets: plug-ins that return :class:`engine.data.base.ImageData`, uint8 pixels in memory."""
