use jiff::Timestamp;

/// The wall clock of the engineer's machine.
#[expect(clippy::disallowed_methods, reason = "the one place where the desk reads the clock")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
