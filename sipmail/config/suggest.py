"""Did you mean …? The nearest of the words that would have been right."""

from __future__ import annotations

from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`: did you mean NEAREST?` (to end a sentence with), "" where nothing is near `word`."""
    from difflib import get_close_matches

    folded = {name.lower().replace("-", "_"): name for name in known}
    near = get_close_matches(word.lower().replace("-", "_"), folded, n=1, cutoff=0.6)
    return f": did you mean {folded[near[0]]}?" if near else ""
