//! Where what a field holds comes from, and in which unit a number without one in its name is.

use std::collections::HashMap;
use std::sync::LazyLock;

/// A line for each type, field, or field of any type, with its source.
const TABLE: &str = include_str!("sources.txt");

static LINES: LazyLock<HashMap<&str, &str>> = LazyLock::new(|| {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(": ")).collect()
});

/// The line that counts for a field, the closest first.
pub(super) fn of_field(name: &str, field: &str) -> Option<&'static str> {
    let keys = [format!("{name}.{field}"), format!("*.{field}"), name.to_owned()];
    keys.iter().find_map(|key| LINES.get(key.as_str()).copied())
}

/// Everything that a line speaks of, for a test to hold against the types.
#[cfg(test)]
pub(super) fn keys() -> impl Iterator<Item = &'static str> {
    LINES.keys().copied()
}

/// Numbers that are no counts and whose names say no unit.
const UNITS: &[(&str, &str)] = &[
    ("algorithm", "a number of the registry"),
    ("asn", "a number of the registry"),
    ("attempt", "counted from 1"),
    ("average", "processes"),
    ("bytes", "bytes"),
    ("bytes_received", "bytes"),
    ("bytes_sent", "bytes"),
    ("code", "as on the wire"),
    ("confidence", "percent"),
    ("congestion_window", "segments"),
    ("delivery_rate", "bytes a second"),
    ("digest_type", "a number of the registry"),
    ("distance", "hops"),
    ("dscp", "as on the wire"),
    ("dscp_sent", "as on the wire"),
    ("dscps", "as on the wire"),
    ("ecn", "as on the wire"),
    ("ecn_sent", "as on the wire"),
    ("ecns", "as on the wire"),
    ("flow", "counted from 0"),
    ("http_status", "as on the wire"),
    ("id", "as on the wire"),
    ("ip_id", "as on the wire"),
    ("ip_ttl", "hops"),
    ("key_tag", "as on the wire"),
    ("label", "as on the wire"),
    ("line", "counted from 1"),
    ("max_ttl", "hops"),
    ("method", "as on the wire"),
    ("mtu", "bytes"),
    ("ndots", "dots"),
    ("path", "positions from 0"),
    ("port", "a port"),
    ("prefix_length", "bits"),
    ("rate", "bytes a second"),
    ("rate_correction_ppb", "parts of a thousand million"),
    ("rcode_number", "as on the wire"),
    ("redirect", "counted from 0"),
    ("reflector_sequence", "counted from 0"),
    ("reply", "as on the wire"),
    ("reply_ttl", "hops"),
    ("return_hops", "hops"),
    ("revocation_reason", "as on the wire"),
    ("round", "counted from 0"),
    ("scope_prefix", "bits"),
    ("sequence", "counted from 0"),
    ("serial", "as on the wire"),
    ("share", "a share, 0 to 1"),
    ("slices", "bytes"),
    ("source_prefix", "bits"),
    ("speed_mbit", "megabits a second"),
    ("status", "as on the wire"),
    ("stratum", "as on the wire"),
    ("traffic_class", "as on the wire"),
    ("ttl", "hops"),
    ("ttls", "hops"),
    ("type", "as on the wire"),
    ("user_id", "the system's number"),
    ("version", "as on the wire"),
];

/// Of one type, where the same name means something else.
const OWN_UNITS: &[(&str, &str, &str)] = &[
    ("EphemeralPorts", "high", "a port"),
    ("EphemeralPorts", "low", "a port"),
    ("RangeAnswer", "first", "a position in bytes, from 0"),
    ("RangeAnswer", "last", "a position in bytes, from 0"),
    ("RangeAnswer", "total", "bytes"),
    ("Share", "high", "a share, 0 to 1"),
    ("Share", "low", "a share, 0 to 1"),
    ("route", "metric", "the system's number"),
    ("route", "table", "the system's number"),
    ("RoutingRule", "table", "the system's number"),
    ("RoutingRule", "priority", "the system's number"),
    ("Changed", "quoted", "as on the wire"),
    ("Changed", "sent", "as on the wire"),
    ("Pressure", "some_10_s", "percent of the time"),
    ("Pressure", "some_60_s", "percent of the time"),
    ("TimeServer", "precision_log2_s", "seconds, as a power of two"),
    ("Failure", "os_error", "the system's number"),
];

/// The unit of a number by its name; a count where the name says nothing else.
pub(super) fn unit(name: &str, field: &str) -> &'static str {
    let own = OWN_UNITS.iter().find(|(of, known, _)| *of == name && *known == field).map(|(.., unit)| *unit);
    own.or_else(|| UNITS.iter().find(|(known, _)| *known == field).map(|(_, unit)| *unit)).unwrap_or("a count")
}
