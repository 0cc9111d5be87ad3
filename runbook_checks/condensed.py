"""Procedures in far less memory: a run keeps all of them to its end, and looks into one after the other."""

from __future__ import annotations

import io
import pickle
import zlib
from collections.abc import Callable
from functools import lru_cache, partial
from operator import attrgetter

from runbook_checks.model import Block, Expectation, Procedure, Role, Span

_PACKED = ("blocks", "source")
_AT_HAND = 64  # procedures that are looked into soon: bash reads some 250 blocks ahead
_FAST = 1  # zlib's fastest level


class Condensed(Procedure):
    """A procedure that packs its blocks and its source, and unpacks them when they are asked for."""

    __slots__ = ("_packed",)
    _packed: bytes

    @classmethod
    def of(cls, procedure: Procedure) -> Condensed:
        """Return a procedure condensed; what it says is the same."""
        condensed = object.__new__(cls)
        for name in ("page", "anchor", "title", "line", "card", "id", "node_id"):
            object.__setattr__(condensed, name, getattr(procedure, name))
        object.__setattr__(condensed, "roles", _once(procedure.roles))
        object.__setattr__(condensed, "_packed", zlib.compress(_pickled(procedure), _FAST))
        return condensed

    def __getattr__(self, name: str) -> object:
        """Return what this object has not, but for its packed form."""
        if name not in _PACKED:
            raise AttributeError(name)
        return _unpacked(self._packed)[_PACKED.index(name)]


_Call = tuple[Callable[..., object], tuple[object, ...]]


def _as_call(kind: type, values_of: Callable[[object], tuple[object, ...]], value: object) -> _Call:
    return kind, values_of(value)


_CALLS: dict[type, Callable[[object], _Call]] = {
    kind: partial(_as_call, kind, attrgetter(*kind.__slots__)) for kind in (Block, Expectation, Span)
}


def _pickled(procedure: Procedure) -> bytes:
    """Return what is packed, frozen values as calls of their class, which are read faster."""
    file = io.BytesIO()
    pickler = pickle.Pickler(file, pickle.HIGHEST_PROTOCOL)
    pickler.dispatch_table = _CALLS
    pickler.dump((procedure.blocks, procedure.source))
    return file.getvalue()


@lru_cache(maxsize=_AT_HAND)
def _unpacked(packed: bytes) -> tuple[tuple[Block, ...], str]:
    found: tuple[tuple[Block, ...], str] = pickle.loads(zlib.decompress(packed))  # noqa: S301 - our own, in memory
    return found


@lru_cache(maxsize=1024)
def _once(roles: frozenset[tuple[Role, str]]) -> frozenset[tuple[Role, str]]:
    """Return the first of equal values: there are few different ones."""
    return roles
