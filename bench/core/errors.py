"""What a user can mend: one message, exit code 2."""

from __future__ import annotations


class UserError(Exception):
    """A mistake that the user can mend: one message that names the file or field and what to do; exit code 2."""


class Unavailable(UserError):
    """Something that cannot be had on this machine (weights, a data set, a package): the reason, and what to do."""
