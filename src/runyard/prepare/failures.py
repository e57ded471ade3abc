"""What can be in the way, and whether it may be gone the next time."""

from runyard.api.outcome import Reason
from runyard.api.preparation import MESSAGE_BYTES
from runyard.errors import RunyardError


class Unprepared(RunyardError):
    """Source or datasets cannot be had as they were asked for."""

    def __init__(self, reason: Reason, message: str, *, is_permanent: bool) -> None:
        """Say why, and whether it would be so again."""
        self.reason, self.is_permanent = reason, is_permanent
        super().__init__(message.encode()[:MESSAGE_BYTES].decode(errors="ignore"))
