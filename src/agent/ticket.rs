use crate::stop::Stop;
use crate::{terminal, upload};
use netsonde_contract::set::{ProbeSet, find_built_in};
use netsonde_contract::ticket::Ticket;
use std::io::{self, BufRead, Read};

/// A ticket is shorter; a stream that is no ticket ends here.
const MAX_TICKET_BYTES: u64 = 64 * 1024;

/// The ticket as given: the string itself, or `-` for a prompt or standard input, where it shows up in no list of processes.
pub(crate) fn read(given: &str) -> Result<Ticket, Stop> {
    let text = if given == "-" { from_standard_input()? } else { given.to_owned() };
    let ticket = Ticket::parse(text.trim()).map_err(|error| {
        Stop::usage(error.to_string()).next("copy the ticket again from the message, or ask support for a new one")
    })?;
    if ticket.backend.starts_with("http://") && !upload::is_loopback(&ticket.backend) {
        return Err(Stop::usage(format!(
            "the ticket would have the bundle sent to {} in the clear, where everyone on the way can read it",
            ticket.backend
        ))
        .next("ask support for a ticket of a backend that speaks https"));
    }
    Ok(ticket)
}

fn from_standard_input() -> Result<String, Stop> {
    let mut text = String::new();
    let read = if terminal::can_ask() {
        terminal::say("Paste the ticket (nst1_…) and press Enter:");
        io::stdin().lock().take(MAX_TICKET_BYTES).read_line(&mut text)
    } else {
        io::stdin().lock().take(MAX_TICKET_BYTES).read_to_string(&mut text)
    };
    read.map_err(|error| Stop::usage(format!("reading the ticket from standard input failed: {error}")))?;
    Ok(text)
}

/// The built-in set that the ticket names, if it is the very one that the ticket's maker meant.
pub(crate) fn probe_set(ticket: &Ticket) -> Result<ProbeSet, Stop> {
    let update = "run the version of netsonde that the message with the ticket names, or ask support for a ticket for this one";
    let Some(built_in) = find_built_in(&ticket.set) else {
        return Err(Stop::usage(format!(
            "the ticket is for the probe set `{}`, which netsonde {} does not have",
            ticket.set,
            env!("CARGO_PKG_VERSION")
        ))
        .next(update));
    };
    let set = built_in.parse().map_err(|error| Stop::usage(error.to_string()))?;
    if set.reference().sha256 != ticket.set_sha256 {
        return Err(Stop::usage(format!(
            "the ticket is for another version of the probe set `{}` than the one in netsonde {}, so nothing is run",
            ticket.set,
            env!("CARGO_PKG_VERSION")
        ))
        .next(update));
    }
    Ok(set)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use ed25519_dalek::SigningKey;
    use netsonde_contract::id::{CaseId, TicketId};
    use netsonde_contract::ticket::TicketSecret;

    pub(crate) fn sample(receipt: &SigningKey) -> Ticket {
        Ticket {
            id: TicketId::from_bytes([7; 10]),
            backend: "http://127.0.0.1:1".into(),
            tls_pin: None,
            receipt_key: receipt.verifying_key(),
            set: "web".into(),
            set_sha256: find_built_in("web").unwrap().parse().unwrap().reference().sha256,
            targets: vec!["https://shop.example/".into()],
            parameters: Default::default(),
            case: CaseId::parse("4711").unwrap(),
            expires: jiff::Timestamp::from_second(1_900_000_000).unwrap(),
            secret: TicketSecret::from_bytes([9; 16]),
        }
    }

    #[test]
    fn a_ticket_for_another_text_of_the_set_is_refused() {
        let mut ticket = sample(&SigningKey::from_bytes(&[1; 32]));
        assert!(probe_set(&ticket).is_ok());
        ticket.set_sha256 = "ab".repeat(32);
        assert!(probe_set(&ticket).unwrap_err().message.contains("another version"));
        ticket.set = "wbe".into();
        assert!(probe_set(&ticket).unwrap_err().message.contains("does not have"));
    }

    #[test]
    fn a_ticket_that_would_send_in_the_clear_is_refused() {
        let mut ticket = sample(&SigningKey::from_bytes(&[1; 32]));
        assert!(read(&ticket.encode()).is_ok(), "this machine itself is no risk");
        ticket.backend = "http://support.example".into();
        assert!(read(&ticket.encode()).err().unwrap().message.contains("in the clear"));
    }

    #[test]
    fn a_cut_ticket_says_so_with_a_next_step() {
        let ticket = sample(&SigningKey::from_bytes(&[1; 32])).encode();
        let stop = read(&ticket[..30]).err().unwrap();
        assert!(stop.message.contains("damaged") && stop.next.is_some(), "{stop:?}");
    }
}
