//! One file a journey; each starts the real programs on ephemeral ports and folders of its own.

/// What the agent's log tells of its orders.
mod agent_log;
/// A customer without any backend: runs, exit codes, formats.
mod alone;
/// What is watched on a terminal, and the terminal afterwards.
mod live;
/// Command lines and files that are wrong.
mod mistakes;
/// Enrolment, order, run, bundle, findings; refusals, answers, cancellation.
mod remote;
/// A clock that is wrong by a year.
mod remote_clock;
/// Orders through crashes, and the same order twice.
mod remote_crashes;
/// An order that a page drafts and a desk signs.
mod remote_draft;
/// How a machine is enrolled: by string, by hand, many at once.
mod remote_enrolment;
/// Copied machines, and a backend that was put back to an older state.
mod remote_identity;
/// Keys that change.
mod remote_keys;
/// A page of somebody else's against the desk's own form.
mod remote_page;
/// Two agents measure each other.
mod remote_pair;
/// What the customer sees of their own policy before anything runs.
mod remote_policy;
/// The way to the backend leads through a proxy that asks for a sign-in and looks into TLS.
mod remote_proxy;
/// An order that is a schedule.
mod remote_schedules;
/// One agent answers another under one order, with each direction's loss, delay and MTU.
mod remote_serving;
/// Machines that sleep or come into another network, and connections that are forgotten on the way.
mod remote_sleep;
/// What a machine measures by itself.
mod schedules;
/// A terminal, as a person sits at it.
mod terminal;
/// A system that gives no more threads.
mod threads;
/// Ticket, run, upload, receipt, case.
mod ticket;
/// A schedule's fault on its way to the backend, and to one that lost it.
mod watched;
/// Starting programs and reading what they say.
mod world;
