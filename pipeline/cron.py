"""Cron lines: what one says, whether it can ever fire, and when it does.

In: five fields and a time zone. Out: moments in UTC, each once, in order. Where clocks are changed Debian's rule counts, as the cronsim
library has it: a line that names its hour fires once, at the next minute that exists when its hour is left out, and at the first of the
two when its hour comes twice; a line whose minute or hour begins with `*` follows the clock that passes. Must not import ray, torch or
mlflow.
"""

from __future__ import annotations

import datetime as dt
import zoneinfo
from collections.abc import Iterator
from difflib import get_close_matches

from cronsim import CronSim, CronSimError

FIELDS = "minute hour day-of-month month day-of-week"
NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
"""Short forms that people know; a recipe writes the line itself, so that there is one way to say it."""
_START = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
"""Begins a leap year, so that 29 February is found."""


def check_line(line: str) -> str:
    """The line with single blanks, when it can fire. Raises ValueError, which says what is wrong and leaves the line out."""
    fields = line.split()
    if line.strip() in NICKNAMES:
        raise ValueError(f"is a nickname; write the line it stands for, '{NICKNAMES[line.strip()]}'")
    if len(fields) != 5:
        raise ValueError(f"has {len(fields)} fields; a cron line has five, {FIELDS}: '0 3 * * *' is each day at three")
    try:
        next(CronSim(" ".join(fields), _START))
    except StopIteration:
        raise ValueError(_never(line)) from None
    except (CronSimError, AssertionError) as error:
        if _is_right_without_its_month(fields):
            raise ValueError(_never(line)) from error
        what = str(error).removeprefix("Bad ") or "a field"
        raise ValueError(f"its {what} is wrong; the fields are {FIELDS}, such as '30 2 * * MON-FRI' or '0 3 1,15 * *'") from error
    return " ".join(fields)


def _is_right_without_its_month(fields: list[str]) -> bool:
    """Each field is right by itself, and no month of the line has such a day."""
    minute, hour, day, month, weekday = fields
    try:
        for line in (f"{minute} {hour} {day} * {weekday}", f"{minute} {hour} 1 {month} {weekday}"):
            CronSim(line, _START)
    except (CronSimError, AssertionError):
        return False
    return True


def _never(line: str) -> str:
    day, month = line.split()[2:4]
    return f"can never fire: no day fits day-of-month {day} in month {month}; give a day that its months have, or * for either"


def check_zone(name: str) -> str:
    """The name of a time zone, when there is one. Raises ValueError with the closest."""
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError) as error:
        known = sorted(zoneinfo.available_timezones())
        meant = {zone.rpartition("/")[2].casefold(): zone for zone in known} | {zone.casefold(): zone for zone in known}
        near = get_close_matches(name.casefold().replace(" ", "_"), list(meant), n=1)
        hint = f" (did you mean {meant[near[0]]!r}?)" if near else ""
        raise ValueError(f"is no time zone{hint}; give a name of the IANA database, such as Europe/Berlin or UTC") from error
    return name


def occurrences(line: str, zone: str, after: dt.datetime) -> Iterator[dt.datetime]:
    """When the line fires after a moment, in UTC; each moment once, earliest first."""
    last = after
    try:
        for local in CronSim(line, after.astimezone(zoneinfo.ZoneInfo(zone))):
            moment = local.astimezone(dt.UTC)
            if moment > last:  # where clocks go forward, several moments of a line may fall together
                last = moment
                yield moment
    except (StopIteration, OverflowError):
        return
