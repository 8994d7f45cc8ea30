//! Reads times and zones as people and models write them.

use jiff::{Timestamp, ZonedDateTime, civil::DateTime, tz::TimeZone};
use moxxy_sdk::skill::Error;

/// The zone of an IANA name; UTC without one.
pub(crate) fn zone(name: Option<&str>) -> Result<TimeZone, Error> {
    let Some(name) = name else { return Ok(TimeZone::UTC) };
    TimeZone::get(name.trim()).map_err(|_| {
        Error::invalid(format!("there is no time zone {name:?}; `zones` finds them by a part of the name"))
    })
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
