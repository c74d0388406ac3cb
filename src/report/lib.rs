//! Findings and evidence, as people read them: terminal text, markdown, HTML with SVG drawings.
//!
//! Everything here is a function of a [`Document`](netsonde_contract::document::Document). Nothing is opened, nothing waits, and
//! no clock is read: the same document gives the same report today and in a year. What a report says is decided once (`words`,
//! `facts`, `path`) and only laid out three times.

/// What a terminal shows at the end of a run.
pub mod text;

/// The same for pasting into a ticket.
pub mod markdown;

/// A self-contained page, and its parts for other pages.
pub mod html;

/// A note for whoever a case is handed on to.
pub mod escalation;

/// What one check sends at most.
pub mod cost;

/// The message that brings a ticket to a customer.
pub mod invitation;
/// What was measured before a run, in words.
pub mod past;
/// Times over time in one line of text.
pub mod sparkline;

/// Every report of a foreign document, for `tests/fuzz`.
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;

/// The words that every report uses for the same thing.
mod words;

/// Facts in words: one line for each observation and each check.
mod facts;

/// The other run that a diagnosis was held against.
mod compared;

/// The path to a target, with the place of the fault.
mod path;

/// How the conclusion was reached.
mod reasoning;

/// Which observations a report is made from.
mod shown;

/// Durations, sizes and dates as people say them.
mod units;

/// Foreign text made harmless.
mod clean;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod sample;
