//! Reads times and zones as people and models write them.

use jiff::{
    Timestamp, ZonedDateTime,
    civil::DateTime,
    tz::{Offset, TimeZone},
};
use moxxy_sdk::skill::Error;

/// Abbreviations that mean several zones.
const AMBIGUOUS: [(&str, &str); 11] = [
    ("ADT", "America/Halifax, Asia/Riyadh"),
    ("AMT", "America/Manaus, Asia/Yerevan"),
    ("AST", "America/Halifax, Asia/Riyadh"),
    ("BST", "Europe/London, Asia/Dhaka, Pacific/Bougainville"),
    ("CDT", "America/Chicago, America/Havana"),
    ("CST", "America/Chicago, Asia/Shanghai, America/Havana"),
    ("EST", "America/New_York, Australia/Sydney"),
    ("GST", "Asia/Dubai, Atlantic/South_Georgia"),
    ("IST", "Asia/Kolkata, Europe/Dublin, Asia/Jerusalem"),
    ("MST", "America/Denver, America/Phoenix, Asia/Kuala_Lumpur"),
    ("PST", "America/Los_Angeles, Asia/Manila"),
];

/// The zone of an IANA name or an offset such as `UTC+2` or `+05:30`; UTC without one.
pub(crate) fn zone(name: Option<&str>) -> Result<TimeZone, Error> {
    let Some(name) = name.map(str::trim) else { return Ok(TimeZone::UTC) };
    if let Some((_, candidates)) = AMBIGUOUS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
        return Err(Error::invalid(format!("{name:?} means several time zones; name one: {candidates}")));
    }
    if let Some(offset) = offset(name) {
        return Ok(TimeZone::fixed(offset));
    }
    TimeZone::get(name).map_err(|_| {
        Error::invalid(format!("there is no time zone {name:?}; `zones` finds them by a part of the name"))
    })
}

/// Reads an offset from UTC: hours, or hours and minutes, after a sign and perhaps `UTC` or `GMT`.
fn offset(name: &str) -> Option<Offset> {
    let upper = name.to_ascii_uppercase();
    let signed = upper.strip_prefix("UTC").or_else(|| upper.strip_prefix("GMT")).unwrap_or(&upper).trim_start();
    let sign = match signed.chars().next()? {
        '+' => 1,
        '-' | '\u{2212}' => -1,
        _ => return None,
    };
    let digits = signed.trim_start_matches(['+', '-', '\u{2212}']).trim_start();
    let (hours, minutes) = match digits.split_once(':') {
        Some(parts) => parts,
        None if digits.len() == 4 => digits.split_at(2),
        None => (digits, "0"),
    };
    let number = |text: &str| text.parse::<i32>().ok().filter(|_| text.bytes().all(|byte| byte.is_ascii_digit()));
    let (hours, minutes) = (number(hours)?, number(minutes).filter(|minutes| *minutes < 60)?);
    Offset::from_seconds(sign * (hours.checked_mul(3600)? + minutes * 60)).ok()
}

/// A time with a zone or an offset, or a date or time in `zone`. One that a change to summer time
/// leaves out is moved on, and of two equal ones the earlier is meant.
pub(crate) fn moment(argument: &str, text: &str, zone_name: Option<&str>) -> Result<ZonedDateTime, Error> {
    let (text, zone) = (text.trim(), zone(zone_name)?);
    if let Ok(zoned) = text.parse::<ZonedDateTime>() {
        return Ok(zoned);
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp.to_zoned_datetime(zone));
    }
    let civil = text.parse::<DateTime>().and_then(|time| zone.to_zoned_datetime(time));
    civil.map_err(|error| {
        Error::invalid(format!("`{argument}` is no date or time such as 2026-03-29 or 2026-03-29T12:00:00Z: {error}"))
    })
}
