//! One file a journey; each starts the real programs on ephemeral ports and folders of its own.

/// A customer without any backend: runs, exit codes, formats.
mod alone;
/// What is watched on a terminal, and the terminal afterwards.
mod live;
/// Command lines and files that are wrong.
mod mistakes;
/// Enrolment, order, run, bundle, findings; refusals, answers, cancellation.
mod remote;
/// Orders through crashes, and the same order twice.
mod remote_crashes;
/// An order that a page drafts and a desk signs.
mod remote_draft;
/// Two agents measure each other.
mod remote_pair;
/// What a machine measures by itself.
mod schedules;
/// Ticket, run, upload, receipt, case.
mod ticket;
/// Starting programs and reading what they say.
mod world;
