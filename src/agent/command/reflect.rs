use super::measuring::read_reflector_key;
use crate::interruption::Interruption;
use crate::stop::Stop;
use crate::{exit, terminal};
use clap::Args;
use netsonde_probes::clock::Clock;
use netsonde_probes::{Reflector, ReflectorRules, ReflectorSummary};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  netsonde reflect                                            on this machine, every address, UDP port 862
  netsonde reflect --listen 192.0.2.7:8862 --allow 198.51.100.0/24
  netsonde probe reflect 192.0.2.7:8862                       on the other one";

/// Sessions named in the summary; the rest is counted.
const MAX_SHOWN: usize = 50;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReflectCommand {
    /// Listen at this address and port only; may be given several times.
    #[arg(long, value_name = "ADDR:PORT", default_values = ["0.0.0.0:862", "[::]:862"])]
    listen: Vec<SocketAddr>,
    /// Answer senders of this network only; may be given several times. Without it everybody is answered.
    #[arg(long, value_name = "CIDR", value_parser = parse_network)]
    allow: Vec<(IpAddr, u8)>,
    /// Answer only packets that are sealed with the key in this file.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl ReflectCommand {
    pub(super) fn execute(self) -> Result<u8, Stop> {
        let key = self.key.as_deref().map(read_reflector_key).transpose()?;
        let rules = ReflectorRules { allowed: self.allow, key, answers: None, bytes: None };
        let sealed = if rules.key.is_some() { "packets sealed with the key" } else { "test packets" };
        let (open, sealed_only) = (rules.allowed.is_empty(), rules.key.is_some());
        let summary = super::block_on(async {
            let interruption = Interruption::listen();
            let reflector =
                Reflector::open(&self.listen, rules, Clock::start()).map_err(|(address, error)| refused(address, &error))?;
            for address in reflector.addresses() {
                terminal::say(&format!("netsonde: answering {sealed} at {address} (UDP); Ctrl-C ends it"));
            }
            if open {
                let whom = if sealed_only { "everybody who has the key" } else { "everybody" };
                terminal::say(&format!("netsonde: {whom} is answered; --allow CIDR bounds it"));
            }
            tokio::select! {
                () = reflector.run() => {}
                () = interruption.came() => {}
            }
            Ok(reflector.summary())
        })?;
        terminal::output(&words(&summary))?;
        Ok(exit::AS_EXPECTED)
    }
}

fn refused(address: SocketAddr, error: &io::Error) -> Stop {
    let next = match error.kind() {
        io::ErrorKind::PermissionDenied => {
            "give a port from 1024 on, such as --listen 0.0.0.0:8862, or run it with sudo".to_owned()
        }
        io::ErrorKind::AddrInUse => "another program listens there: give another port with --listen".to_owned(),
        _ => "give an address of this machine with --listen".to_owned(),
    };
    Stop::usage(format!("listening at {address} (UDP) failed: {error}")).next(next)
}

/// A network as `192.0.2.0/24`, or one address.
fn parse_network(text: &str) -> Result<(IpAddr, u8), String> {
    let wrong = || "write it as 192.0.2.0/24 or 2001:db8::/32".to_owned();
    let (address, bits) = text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
    let address: IpAddr = address.parse().map_err(|_| wrong())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Ok(most), str::parse).map_err(|_| wrong())?;
    if bits <= most { Ok((address, bits)) } else { Err(wrong()) }
}

fn words(summary: &ReflectorSummary) -> String {
    let counted = |count: u64, one: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
    let sessions = counted(summary.sessions.len() as u64, "session");
    let mut text = format!("{} answered in {sessions}\n", counted(summary.answered, "packet"));
    for session in summary.sessions.iter().take(MAX_SHOWN) {
        text.push_str(&format!(
            "  {}  {} received, {} answered, {} lost on the way here\n",
            session.peer, session.received, session.sent, session.missing
        ));
    }
    if let Some(more @ 1..) = summary.sessions.len().checked_sub(MAX_SHOWN) {
        text.push_str(&format!("  and {more} more sessions\n"));
    }
    for (why, count) in &summary.refused {
        text.push_str(&format!("{count} not answered: {why}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_as_people_write_them() {
        assert_eq!(parse_network("192.0.2.0/24"), Ok(("192.0.2.0".parse().unwrap(), 24)));
        assert_eq!(parse_network("2001:db8::1"), Ok(("2001:db8::1".parse().unwrap(), 128)));
        for wrong in ["", "192.0.2.0/33", "example", "192.0.2.0/-1", "192.0.2.0/"] {
            assert!(parse_network(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_summary_says_who_was_answered_and_who_was_not() {
        let session =
            netsonde_probes::ReflectorSession { peer: "192.0.2.7:40000".parse().unwrap(), received: 48, sent: 48, missing: 2 };
        let summary = ReflectorSummary { answered: 48, sessions: vec![session], refused: vec![("faster than the bound", 3)] };
        let expected = "48 packets answered in 1 session\n  192.0.2.7:40000  48 received, 48 answered, 2 lost on the way here\n3 not answered: faster than the bound\n";
        assert_eq!(words(&summary), expected);
    }
}
