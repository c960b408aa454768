"""The Start page, and the choices of data and experiment that Unlearn makes with it."""
