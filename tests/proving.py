"""Procedures whose blocks are needed, and what a repository keeps and says of that need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from repository import document

from runbook_checks.need import Proof, from_line

if TYPE_CHECKING:
    from repository import Repository

PAGE = "docs/runbooks/extra.md"
GOOD = """
## Good {{ #{name} }}
{card}
```bash {{.step #{name}-make}}
touch "$SITE/{name}"
```
```bash {{.check}}
test -e "$SITE/{name}"
```
"""
IDLE = """
```bash {.step #idle}
true
```
"""


def good(name: str = "good", card: str = "") -> str:
    return GOOD.format(name=name, card=f"```yaml {{.procedure}}\n{card}\n```" if card else "")


def proofs(repository: Repository, name: str = "extra/good") -> list[Proof]:
    path = repository.root / f".runbook-checks/evidence/local/{name}.need.jsonl"
    return [from_line(line) for line in path.read_text().splitlines()] if path.exists() else []


def standing(repository: Repository) -> dict[str, str | None]:
    found = document(repository.run("status", "--json", "--environment", "local"))["procedures"]
    return {one["id"]: one["need"]["standing"] if one["need"] else None for one in found}
