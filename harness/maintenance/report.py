"""What the doctor says, line by line, and how much of it was wrong."""

from collections.abc import Iterable
from dataclasses import dataclass

from harness.maintenance.words import Say
from harness.storage.findings import Finding


@dataclass
class Report:
    """What the doctor says, and what it mends while it says it.

    Attributes
    ----------
    say : callable
        Takes each line.
    dry : bool
        Whether findings are only said, and nothing is mended.
    where : str
        The sweep or comparison that the lines are about; empty for none.
    wrong : int
        How many findings cannot be mended.
    mended : int
        How many were mended, or would be.
    """

    say: Say
    dry: bool
    where: str = ""
    wrong: int = 0
    mended: int = 0

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong, and nothing was to be mended."""
        return not (self.wrong or self.mended)

    def fine(self, text: str) -> None:
        """Says what is as it should be."""
        self._line("ok", text)

    def note(self, text: str) -> None:
        """Says what changes nothing."""
        self._line("note", text)

    def bad(self, text: str) -> None:
        """Says what nobody can mend without loss."""
        self.wrong += 1
        self._line("WRONG", text)

    def repaired(self, text: str) -> None:
        """Says what has been mended."""
        self.mended += 1
        self._line("repaired", text)

    def to_repair(self, text: str) -> None:
        """Says what would be mended if this were no dry run."""
        self.mended += 1
        self._line("to repair", text)

    def take(self, findings: Iterable[Finding]) -> None:
        """Says findings, and mends those that can be mended unless this is a dry run."""
        for finding in findings:
            if finding.is_harmless:
                self.note(finding.sentence)
            elif finding.mend is None:
                self.bad(finding.sentence)
            elif self.dry:
                self.to_repair(finding.sentence)
            else:
                # It is said after it was done, since it may fail.
                finding.mend()
                self.repaired(finding.mended or finding.sentence)

    def _line(self, kind: str, text: str) -> None:
        where = f"{self.where}: " if self.where else ""
        self.say(f"{kind}: {where}{text}")
