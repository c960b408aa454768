"""Finding plug-ins: every concrete class in a package that derives from a base is in the registry, by its key.

Adding a method, a metric, a data set or a selector is adding one file; nothing else is edited.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar

from engine.knobs import BadSetting, Configured

T = TypeVar("T", bound=Configured)


@functools.cache
def discover(package: str, base: type[T]) -> Mapping[str, type[T]]:
    """Import every module of ``package`` and return its concrete subclasses of ``base``, keyed and in a stable order.

    Order is (``order`` attribute of the class if it has one, key). Modules whose name starts with ``_`` are skipped.

    Raises:
        TypeError: a class without a key, or two classes with the same one.
    """
    root = importlib.import_module(package)
    plugins: dict[str, type[T]] = {}
    for info in pkgutil.iter_modules(root.__path__):
        if info.name.startswith("_"):
            continue
        module = importlib.import_module(f"{package}.{info.name}")
        for thing in vars(module).values():
            if not (inspect.isclass(thing) and issubclass(thing, base) and thing.__module__ == module.__name__):
                continue
            if thing is base or inspect.isabstract(thing):
                continue
            if not thing.key:
                raise TypeError(f"{thing.__module__}.{thing.__name__} has no key")
            if thing.key in plugins:
                raise TypeError(f"two plug-ins of {package} share the key {thing.key!r}")
            plugins[thing.key] = thing
    ordered = sorted(plugins.items(), key=lambda item: (getattr(item[1], "order", 100), item[0]))
    return MappingProxyType(dict(ordered))


def make(package: str, base: type[T], choice: Mapping[str, object], *, what: str) -> T:
    """Make the plug-in of ``package`` that ``choice`` names: ``{"key": "random", "n": 50}``, as in a recipe.

    The only way from such a choice to a plug-in; every family's package has an accessor that calls it
    (:func:`engine.data.make_dataset` ...).
    ``what`` is the family's word in messages, such as "data set".

    Raises:
        BadSetting: no such key (the text lists the known ones), or a setting it refuses.
    """
    plugins = discover(package, base)
    key = choice.get("key")
    if not isinstance(key, str) or key not in plugins:
        raise BadSetting(f"unknown {what} {key!r} (known: {', '.join(plugins)})")
    return plugins[key].from_settings({name: value for name, value in choice.items() if name != "key"})
