"""When the sandbox's rounds open, close and resolve."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

TUESDAY_NOON = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
SATURDAY = 5
_ROUND_DAYS = (1, 2, 3, 4, SATURDAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Times of one round, aware UTC."""

    number: int
    opens_at: datetime
    closes_at: datetime
    resolves_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """
    Times of all rounds from *first_round*, which opens at *first_open*.

    Without *interval* it follows Numerai's week: a round a day from Tuesday to Saturday, open for an hour, on Saturday for
    26, resolved 89 days later. Rounds in *moved* have their own times.
    """

    first_round: int = 1405
    first_open: datetime = TUESDAY_NOON
    interval: timedelta | None = None
    window: timedelta = timedelta(hours=1)
    weekend: timedelta = timedelta(hours=26)
    resolution: timedelta = timedelta(days=89)
    moved: Mapping[int, Window] = field(default_factory=dict)

    @classmethod
    def every(
        cls,
        interval: timedelta,
        *,
        window: timedelta | None = None,
        first_round: int = 1405,
        first_open: datetime = TUESDAY_NOON,
        resolve_after: int = 3,
    ) -> "Schedule":
        """Return a schedule that opens a round every *interval* and resolves it *resolve_after* intervals later."""
        return cls(
            first_round=first_round,
            first_open=first_open,
            interval=interval,
            window=window or interval * 0.9,
            resolution=interval * resolve_after,
        )

    def round(self, number: int) -> Window:
        """
        Return the times of a round.

        Raises:
            KeyError: The round lies before the first one.
        """
        if number < self.first_round:
            raise KeyError(number)
        if self.interval is not None:
            opens = self.first_open + self.interval * (number - self.first_round)
            return self._window(number, opens)
        for window in self._days():
            if window.number == number:
                return window
        raise KeyError(number)

    def opened(self, now: datetime) -> int | None:
        """Return the number of the newest round that has opened by *now*; ``None`` before the first."""
        if now < self.first_open:
            return None
        if self.interval is not None:
            number = self.first_round + (now - self.first_open) // self.interval
            return number if self.round(number).opens_at <= now else max(number - 1, self.first_round)
        newest = None
        for window in self._days():
            if window.opens_at > now:
                break
            newest = window.number
        return newest

    def _days(self) -> Iterator[Window]:
        number, opens = self.first_round, self.first_open
        while True:
            yield self._window(number, opens)
            number, opens = number + 1, opens + timedelta(days=1)
            while opens.weekday() not in _ROUND_DAYS:
                opens += timedelta(days=1)

    def _window(self, number: int, opens: datetime) -> Window:
        if number in self.moved:
            return self.moved[number]
        length = self.weekend if self.interval is None and opens.weekday() == SATURDAY else self.window
        return Window(number=number, opens_at=opens, closes_at=opens + length, resolves_at=opens + self.resolution)
