"""What can go wrong in the local stack, each with a stable code; `__main__` prints the message and exits with 1."""

from typing import ClassVar


class StackError(Exception):
    """Base of all: its text is one clear line and, where there is one, the end of a log."""

    code: ClassVar[str] = "stack_error"


class PrerequisitesMissing(StackError):  # noqa: N818 - states the condition, as the field's HTTP codes do
    """The machine lacks something that we cannot bring ourselves; one line each."""

    code = "prerequisites_missing"


class CommandFailed(StackError):  # noqa: N818
    """A program that installs or builds something ended with an error."""

    code = "command_failed"


class DataDirectoryBusy(StackError):  # noqa: N818
    """Another supervisor runs on the same data directory."""

    code = "data_directory_busy"


class ServiceUnreachable(StackError):  # noqa: N818
    """A server that the user named in the environment does not answer."""

    code = "service_unreachable"


class ChildFailed(StackError):  # noqa: N818
    """A process of the stack did not become ready, or keeps dying before it is."""

    code = "child_failed"
