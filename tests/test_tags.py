"""Marks of procedures, and expressions over them."""

from __future__ import annotations

import pytest

from runbook_checks.errors import UsageError
from runbook_checks.markdown import scan
from runbook_checks.tags import marks_of, matcher

PAGE = """\
---
tags: [night shift]
runbook: {tags: [skip]}
---
## Soak { #soak }

```yaml {.procedure}
reversible: false
tags: [slow]
```
```bash {.step}
true
```
```bash {.check}
test -e soaked
```
"""


def marks() -> frozenset[str]:
    runbook = scan(PAGE, "docs/soak.md").runbook
    assert runbook is not None
    (procedure,) = runbook.procedures
    return marks_of(procedure, runbook)


def test_marks_are_roles_and_tags_and_destructive_but_none_that_changes_what_a_run_means() -> None:
    assert marks() == {"step", "check", "slow", "night-shift", "destructive"}


@pytest.mark.parametrize(
    ("expression", "holds"),
    [("slow", True), ("not slow", False), ("slow and rollback", False), ("not rollback or slow", True)],
)
def test_an_expression_is_read_as_pytest_reads_it(expression: str, holds: bool) -> None:  # noqa: FBT001 - a parameter
    assert matcher(expression)(marks()) is holds


@pytest.mark.parametrize("expression", ["not", "slow and", "((slow)", "a b"])
def test_what_is_no_expression_is_refused(expression: str) -> None:
    with pytest.raises(UsageError, match=r"cannot be read: .*write for example -m 'not slow'"):
        matcher(expression)
