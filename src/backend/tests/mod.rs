//! The whole server on a loopback port, spoken to as agents, desks and browsers do.

/// Connections: slow ones, silent ones, TLS, draining.
mod accept;
/// Alerts on their way to receivers that are down, refuse, or answer, and across a kill.
mod alerts;
/// Bundles that must be refused, each in its own way.
mod altered;
/// Tickets, cases and the desk's token.
mod desk;
/// One customer's part of the audit log.
mod excerpt;
/// The first run's secrets, and whose directory it is.
mod first_run;
/// Enrolment, check-ins, and requests that no enrolled agent signed.
mod fleet;
/// What scheduled checks bring: reports, silence, bundles, cases, pages.
mod health;
/// Pages that are told of changes as they come.
mod live;
/// Orders from the desk to agents and back.
mod orders;
/// An organisation with its keys, and machines that enrol with it.
mod organisation;
/// The pages, with and without a session.
mod pages;
/// Problem documents for what is malformed.
mod problems;
/// A bundle as an agent makes it.
mod sample;
/// Schedules that engineers signed, on their page.
mod schedules;
/// The server under test.
mod server;
/// What a key reaches that was stolen from one agent.
mod stolen_key;
/// The ticket's page and its form.
mod ticket_page;
/// Uploads: whole, in parts, resumed, fenced, refused.
mod upload;
/// Uploads whose bundle and ticket do not belong together.
mod upload_ticket;
/// Orders in waves: stopped, looked at, let go on; and who answers before who measures.
mod waves;
/// Restart, sweep and verification of the store.
mod whole_store;
