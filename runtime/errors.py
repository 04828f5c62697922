"""Errors sorted by what must be done about them, not by where they arose.

* ``PipelineError``
    * ``Retriable`` - try the same work again after a pause
    * ``Poison`` - set this one record aside, and go on
    * ``Misconfigured`` - tell the operator, and do not start

Anything else is a bug: it is not caught, the process dies and resumes from its last checkpoint.
"""


class PipelineError(Exception):
    """Root of every error that the pipeline expects."""


class Retriable(PipelineError):  # noqa: N818 - the name says what to do with it
    """The work failed for now; the same work may be tried again after ``retry_after_s``."""

    def __init__(self, reason: str, *, retry_after_s: float) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s


class Poison(PipelineError):  # noqa: N818 - the name says what to do with it
    """One record that can never be read; ``payload`` keeps its bytes for the dead letters."""

    def __init__(self, reason: str, *, payload: bytes) -> None:
        super().__init__(reason)
        self.reason = reason
        self.payload = payload


class Misconfigured(PipelineError):  # noqa: N818 - the name says what to do with it
    """The operator must change ``setting``; ``remedy`` says how."""

    def __init__(self, setting: str, problem: str, *, remedy: str) -> None:
        super().__init__(setting, problem, remedy)
        self.setting = setting
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.setting}: {self.problem}\n  {self.remedy}"
