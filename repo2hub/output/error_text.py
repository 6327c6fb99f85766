"""One line out of an error or of a program's output, for messages."""

_MAX_LENGTH = 200
_NO_REASON = "no reason given"


def first_line(error: object) -> str:
    """Return the first line of an error's text, cut to 200 characters."""
    return (str(error).strip().splitlines() or [_NO_REASON])[0][:_MAX_LENGTH]


def last_line(output: str) -> str:
    """Return the last line of a program's output, where most programs state the reason."""
    return (output.strip().splitlines() or [_NO_REASON])[-1][:_MAX_LENGTH]
