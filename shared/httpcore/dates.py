"""HTTP dates: written in the one form, read in all three that RFC 9110 §5.6.7 knows. No clock, no locale.

Times are whole seconds since 1970, UTC.
"""

import calendar
import re
import time

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DAY = "|".join(_DAYS)
_MONTH = "|".join(_MONTHS)
_TIME = r"(?P<hour>[0-2][0-9]):(?P<minute>[0-5][0-9]):(?P<second>[0-6][0-9])"

_FORMS = (
    # IMF-fixdate: Sun, 06 Nov 1994 08:49:37 GMT
    re.compile(rf"(?:{_DAY}), (?P<day>[0-3][0-9]) (?P<month>{_MONTH}) (?P<year>[0-9]{{4}}) {_TIME} GMT"),
    # rfc850-date: Sunday, 06-Nov-94 08:49:37 GMT
    re.compile(
        r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day, "
        rf"(?P<day>[0-3][0-9])-(?P<month>{_MONTH})-(?P<year>[0-9]{{2}}) {_TIME} GMT"
    ),
    # asctime-date: Sun Nov  6 08:49:37 1994
    re.compile(rf"(?:{_DAY}) (?P<month>{_MONTH}) (?P<day>[ 0-3][0-9]) {_TIME} (?P<year>[0-9]{{4}})"),
)


def format_http_date(unix_s: float) -> str:
    """The second as an IMF-fixdate."""
    t = time.gmtime(unix_s)
    return (
        f"{_DAYS[t.tm_wday]}, {t.tm_mday:02} {_MONTHS[t.tm_mon - 1]} {t.tm_year:04} "
        f"{t.tm_hour:02}:{t.tm_min:02}:{t.tm_sec:02} GMT"
    )


def parse_http_date(text: str) -> int | None:
    """Seconds since 1970, or None for what is no date of the three forms. The day's name is not checked.

    Deliberate: a year of two digits lies between 1951 and 2050, where §5.6.7 counts from the present; nothing
    has sent that form for decades.
    """
    found = next((found for form in _FORMS if (found := form.fullmatch(text))), None)
    if found is None:
        return None
    year = int(found["year"])
    if len(found["year"]) == 2:
        year += 2000 if year <= 50 else 1900
    month, day, hour = _MONTHS.index(found["month"]) + 1, int(found["day"]), int(found["hour"])
    if year == 0 or not 1 <= day <= calendar.monthrange(year, month)[1] or hour > 23:
        return None
    return calendar.timegm((year, month, day, hour, int(found["minute"]), min(int(found["second"]), 59)))
