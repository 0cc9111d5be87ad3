"""What a runbook page carries for who follows it: the box of its variables, and what its script has to know."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from runbook_checks.model import acts
from runbook_checks.site import render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from runbook_checks.model import Procedure, Runbook


def box(runbook: Runbook, names: Sequence[str], root: str) -> str:
    """Return the box of a runbook page's variables, hidden without JavaScript.

    ``root`` is the address of the site's root seen from the page: what is typed is kept by site.
    """
    digests = " ".join(f"{procedure.id}:{text_digest(procedure)}" for procedure in runbook.procedures)
    return render.variables_box(names, digests, root)


def text_digest(procedure: Procedure) -> str:
    """Return a short digest of what a reader follows: ticks belong to this text and to no other."""
    digest = hashlib.sha256()
    for block in procedure.blocks:
        if acts(block):
            texts = (block.id, block.role.value, block.title, block.text, *(each.text for each in block.expectations))
            digest.update("\0".join(texts).encode() + b"\1")
    return digest.hexdigest()[:8]
