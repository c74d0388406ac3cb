use jiff::Timestamp;

/// Now, as status files write it: `2026-01-31T12:00:00Z`.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the time here")]
pub(crate) fn now() -> String {
    Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
