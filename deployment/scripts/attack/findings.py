"""What an attack has found: lines that say what was done, and every guard that has not held."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Findings:
    """Filled while an attack goes on."""

    lines: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def say(self, line: str) -> None:
        """Add a line about what was done."""
        self.lines.append(line)

    def expect(self, what: str, found: object, wanted: object) -> bool:
        """Note a guard, and that it has not held unless `found` is what is wanted."""
        if found == wanted:
            return True
        self.broken.append(f"{what}: {found!r}, expected {wanted!r}")
        return False
