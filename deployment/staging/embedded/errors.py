"""What keeps the stack from starting; the text is meant for the user."""


class StagingError(Exception):
    """Something that the user must put right; names what to do."""


class MissingProgramsError(StagingError):
    """Programs that this machine lacks, each with the command that installs it."""

    def __init__(self, missing: dict[str, str]) -> None:
        """Take the hint per program."""
        self.missing = missing
        lines = "\n".join(f"  {program}: {hint}" for program, hint in sorted(missing.items()))
        super().__init__(f"this machine lacks programs of the staging stack:\n{lines}")
