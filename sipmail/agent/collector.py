"""How often Python looks for circles of objects that nobody else holds.

As it comes, it does so after every few hundred objects, each fourth call, and whenever a quarter
has been added to what lives it goes through everything: with five hundred calls that is 30 to 45 ms
in which nobody is answered. What was made at the start stays until the end and is never looked at
again; a call leaves some fifty objects in circles, which may well wait for a thousand others.
"""

from __future__ import annotations

import gc

_YOUNG, _MIDDLE, _OLD = 4_000, 10, 5


def settle() -> None:
    """To be called when everything that stays is loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
