"""Addresses as they may be shown."""

import re

# A password may have an @ in it and, in a database's address, a slash; a slash after a port begins the path.
_LOGIN = re.compile(r"://(?:[^:/\s]*:(?!\d+/)[^@\s]*@)?(?:[^/\s]*@)?")


def without_logins(text: str) -> str:
    """Leave user and password out of each address in a text."""
    return _LOGIN.sub("://", text)
