"""What the tests of views know of methods, by the key that a method's id begins with."""

from engine.cards import MethodFacts
from engine.views import headline

REFERENCES = {"do_nothing": "do nothing", "retrain": "retrain", "partial_retrain": "partial retrain"}


def facts(methods):
    """Return the facts of methods by their ids, such as "scrub" or "partial_retrain-0.2"."""
    keys = {method: method.partition("-")[0] for method in methods}
    fresh = {"retrain", "partial_retrain", "deltagrad"}
    return {
        method: MethodFacts(key, "fresh" if key in fresh else "original", REFERENCES.get(key, ""))
        for method, key in keys.items()
    }


def table(results):
    """Return the headline's table of (method id, name, scores) with the facts of each method."""
    return headline.frame(results, facts(method for method, _, _ in results))
