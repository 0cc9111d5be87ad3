"""Groups for workers: what shares prerequisites stays together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runbook_checks.catalog import load
from runbook_checks.scheduling import groups_of

if TYPE_CHECKING:
    from pathlib import Path

PAGE = """---
runbook: {{owner: o}}
---
{sections}
"""
SECTION = """
## {name} {{ #{name} }}

```yaml {{.procedure}}
needs: [{needs}]
```

```bash {{.check}}
true
```
"""


def groups(tmp_path: Path, **needs: str) -> list[set[str]]:
    sections = "".join(SECTION.format(name=name, needs=listed) for name, listed in needs.items())
    page = tmp_path / "p.md"
    page.write_text(PAGE.format(sections=sections))
    catalog = load(tmp_path, [page])
    found: dict[str, set[str]] = {}
    for node_id, group in groups_of(catalog, catalog.procedures).items():
        found.setdefault(group, set()).add(node_id.rpartition("::")[2])
    return sorted(found.values(), key=sorted)


def test_a_chain_and_what_shares_a_prerequisite_with_it_is_one_group(tmp_path: Path) -> None:
    assert groups(tmp_path, build="", deploy="build", watch="deploy", other="build", alone="") == [
        {"alone"},
        {"build", "deploy", "other", "watch"},
    ]


def test_procedures_that_need_nothing_are_groups_of_their_own(tmp_path: Path) -> None:
    assert groups(tmp_path, a="", b="") == [{"a"}, {"b"}]


def test_two_groups_that_a_third_procedure_needs_become_one(tmp_path: Path) -> None:
    assert groups(tmp_path, a="", b="", both="a, b") == [{"a", "b", "both"}]
