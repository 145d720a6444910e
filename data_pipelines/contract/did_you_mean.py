"""The hint 'did you mean' for a name that is not among the allowed ones."""

from collections.abc import Iterable
from difflib import get_close_matches


def suggest(given: str, allowed: Iterable[str]) -> str:
    """Return, for example, `did you mean 'epochs'? allowed: batch_size, epochs`."""
    names = sorted(allowed)
    near = get_close_matches(given, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}allowed: {', '.join(names)}"
