"""What is worked out once: `lazy` for an attribute, `remembered` for the reading of a text."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, Generic, TypeVar, overload

T = TypeVar("T")

_SHORT = 256
_REMEMBERED = 2048


class lazy(Generic[T]):
    """Decorates a method without arguments; what it raises is raised again at the next reading.

    Like functools.cached_property, whose lock (until Python 3.12) costs more than splitting a
    header.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        self._function = function
        self._name = function.__name__
        self.__doc__ = function.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> lazy[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> lazy[T] | T:
        if instance is None:
            return self
        value = self._function(instance)
        instance.__dict__[self._name] = value
        return value


def remembered(read: Callable[[str], T]) -> Callable[[str], T]:
    """Decorates a function that makes something immutable of a text: the addresses of a call come
    again in each of its messages, those of the PBX in every call.

    Only short texts are kept, and so many of them, whoever sends them.
    """
    known = lru_cache(maxsize=_REMEMBERED)(read)

    @wraps(read)
    def look_up(text: str) -> T:
        return known(text) if len(text) <= _SHORT else read(text)

    return look_up
