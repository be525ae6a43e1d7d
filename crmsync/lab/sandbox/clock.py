"""The sandbox's own time: the real clock plus what a test has advanced it by."""

from datetime import UTC, datetime, timedelta


class Clock:
    """A clock that tests can move forward, so that tokens, locators and windows expire without waiting."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead

    def seconds(self) -> float:
        return self.now().timestamp()

    def advance(self, seconds: float) -> None:
        self._ahead += timedelta(seconds=seconds)

    def reset(self) -> None:
        """Back to the real time."""
        self._ahead = timedelta()
