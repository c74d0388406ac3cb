//! The sockets of the process's network namespace as `/proc/net` lists them, counted. Addresses of others' connections are not kept.

/// One line of the lists.
mod line;
/// Which program holds a socket.
mod processes;
/// Windows' own list.
#[cfg(windows)]
mod windows;

use super::read;
use line::{Line, STATES};
use netsonde_contract::observation::{
    EphemeralPorts, Listener, OwnerSockets, PortUse, RemotePort, Sockets, StateCount, TowardsTarget,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

const TCP: [&str; 2] = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
const UDP: [&str; 2] = ["/proc/self/net/udp", "/proc/self/net/udp6"];
const EPHEMERAL_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// The longest list of each figure that is kept; the largest counts come first.
const MAX_KEPT: usize = 16;
/// A server listens on a few dozen ports.
const MAX_LISTENERS: usize = 64;

/// For whom sockets are counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Viewer {
    pub(super) user_id: u32,
    /// May see what belongs to other users, whatever its own name.
    pub(super) elevated: bool,
}

/// What the system lists now; nothing where it has no such lists. Blocks on files.
pub(super) fn read(targets: &[IpAddr], viewer: Viewer) -> Option<Sockets> {
    #[cfg(windows)]
    if let Some(found) = windows::read(targets) {
        return Some(found);
    }
    let tcp: Vec<String> = TCP.iter().filter_map(|path| read::text(path).ok()).collect();
    if tcp.is_empty() {
        return None;
    }
    let udp: Vec<String> = UDP.iter().filter_map(|path| read::text(path).ok()).collect();
    let whole = |texts: &[String]| texts.iter().all(|text| (text.len() as u64) < read::MAX_BYTES);
    let complete = whole(&tcp) && whole(&udp);
    let parse = |texts: &[String]| texts.iter().flat_map(|text| text.lines().filter_map(Line::parse)).collect::<Vec<_>>();
    let (tcp, udp) = (parse(&tcp), parse(&udp));
    let mut sockets = count(&tcp, &udp, targets, viewer);
    sockets.complete = complete;
    sockets.ephemeral = read::text(EPHEMERAL_RANGE).ok().and_then(|text| ephemeral(&text, &tcp, targets));
    let shown = tcp.iter().chain(&udp).filter(|line| viewer.elevated || line.user_id == viewer.user_id);
    let holders = processes::of(&shown.map(|line| line.inode).filter(|inode| *inode > 0).collect());
    sockets.listening = listening(&tcp, &udp, &holders.by_inode);
    sockets.processes = holders.counts;
    Some(sockets)
}

fn count(tcp: &[Line], udp: &[Line], targets: &[IpAddr], viewer: Viewer) -> Sockets {
    let is_shown = |line: &&Line| viewer.elevated || line.user_id == viewer.user_id;
    // Connections that only wait for their end belong to nobody any more, and are listed as the first user's.
    let owned = tcp.iter().chain(udp).filter(|line| line.inode > 0).filter(is_shown);
    let owners = largest(owned.map(|line| line.user_id));
    let remote = tcp.iter().filter(is_shown).filter(|line| line.remote_port > 0).map(|line| line.remote_port);
    let towards = targets.iter().filter_map(|target| {
        let states = states(tcp.iter().filter(|line| line.remote == *target));
        (!states.is_empty()).then_some(TowardsTarget { address: *target, states })
    });
    Sockets {
        tcp: states(tcp.iter()),
        udp: u32::try_from(udp.len()).unwrap_or(u32::MAX),
        udp_drops: udp.iter().map(|line| line.drops).fold(0, u64::saturating_add),
        owners: owners
            .into_iter()
            .map(|(user_id, count)| OwnerSockets { user_id, own: user_id == viewer.user_id, count })
            .collect(),
        processes: Vec::new(),
        remote_ports: largest(remote).into_iter().map(|(port, count)| RemotePort { port, count }).collect(),
        towards_target: towards.collect(),
        listening: Vec::new(),
        ephemeral: None,
        complete: true,
        unseen: None,
    }
}

/// What waits for others, each once: TCP sockets in that state, and UDP sockets that are connected to nobody.
fn listening(tcp: &[Line], udp: &[Line], programs: &BTreeMap<u64, String>) -> Vec<Listener> {
    let of = |protocol: &str, line: &Line| Listener {
        port: line.local_port,
        protocol: protocol.to_owned(),
        address: line.local,
        user_id: line.user_id,
        process: programs.get(&line.inode).cloned(),
    };
    let tcp = tcp.iter().filter(|line| STATES.get(usize::from(line.state)) == Some(&"listen")).map(|line| of("tcp", line));
    let udp = udp.iter().filter(|line| line.remote_port == 0 && line.local_port > 0).map(|line| of("udp", line));
    let found: BTreeSet<Listener> = tcp.chain(udp).collect();
    found.into_iter().take(MAX_LISTENERS).collect()
}

/// In the order of the kernel's numbers for them.
fn states<'l>(lines: impl Iterator<Item = &'l Line>) -> Vec<StateCount> {
    let mut counts = [0_u32; STATES.len()];
    for line in lines {
        if let Some(count) = counts.get_mut(usize::from(line.state)) {
            *count = count.saturating_add(1);
        }
    }
    let counted = counts.iter().zip(STATES).filter(|(count, _)| **count > 0);
    counted.map(|(count, state)| StateCount { state: state.to_owned(), count: *count }).collect()
}

/// How often each comes, the most frequent first.
fn largest<T: Ord + Copy>(items: impl Iterator<Item = T>) -> Vec<(T, u32)> {
    let mut counts: BTreeMap<T, u32> = BTreeMap::new();
    for item in items {
        *counts.entry(item).or_default() += 1;
    }
    let mut counts: Vec<(T, u32)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    counts.truncate(MAX_KEPT);
    counts
}

/// The local ports that connections take, and how many are taken.
fn ephemeral(range: &str, tcp: &[Line], targets: &[IpAddr]) -> Option<EphemeralPorts> {
    let mut bounds = range.split_whitespace().map(str::parse::<u16>);
    let (low, high) = (bounds.next()?.ok()?, bounds.next()?.ok()?);
    let within = |line: &&Line| (low..=high).contains(&line.local_port);
    let in_use: BTreeSet<u16> = tcp.iter().filter(within).map(|line| line.local_port).collect();
    let towards = tcp.iter().filter(within).filter(|line| line.remote_port > 0 && targets.contains(&line.remote));
    let towards = largest(towards.map(|line| (line.remote, line.remote_port)));
    Some(EphemeralPorts {
        low,
        high,
        in_use: u32::try_from(in_use.len()).unwrap_or(u32::MAX),
        towards: towards.into_iter().map(|((address, port), in_use)| PortUse { address, port, in_use }).collect(),
    })
}

/// Reads lists whose first line is the range of local ports.
#[cfg(any(test, feature = "fuzzing"))]
pub(super) fn fuzzed(text: &str) {
    let lines: Vec<Line> = text.lines().filter_map(Line::parse).collect();
    let targets: Vec<IpAddr> = lines.iter().take(1).map(|line| line.remote).collect();
    ephemeral(text.lines().next().unwrap_or_default(), &lines, &targets);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(user_id: u32, state: u8, local_port: u16, remote: &str, remote_port: u16) -> Line {
        Line {
            local: IpAddr::from([127, 0, 0, 1]),
            local_port,
            remote: remote.parse().unwrap(),
            remote_port,
            state,
            user_id,
            inode: 7,
            drops: 0,
        }
    }

    #[test]
    fn what_listens_is_named_with_its_port_address_and_program() {
        let (listens, connected) = (line(0, 10, 22, "0.0.0.0", 0), line(0, 1, 22, "192.0.2.1", 40_000));
        let (open, busy) = (line(5, 7, 68, "0.0.0.0", 0), line(5, 1, 53_000, "192.0.2.53", 53));
        let programs = BTreeMap::from([(7, "sshd".to_owned())]);
        let found = listening(&[listens.clone(), listens, connected], &[open, busy], &programs);
        let found: Vec<_> = found.iter().map(|each| (each.protocol.as_str(), each.port, each.process.as_deref())).collect();
        assert_eq!(found, [("tcp", 22, Some("sshd")), ("udp", 68, Some("sshd"))]);
    }

    #[test]
    fn time_wait_towards_the_target_is_told_from_that_towards_others() {
        let target: IpAddr = "192.0.2.1".parse().unwrap();
        let tcp = [
            line(0, 6, 40_000, "192.0.2.1", 443),
            line(0, 6, 40_001, "192.0.2.1", 443),
            line(5, 1, 40_002, "192.0.2.1", 80),
            line(5, 6, 40_003, "192.0.2.9", 443),
        ];
        let found = count(&tcp, &[], &[target], Viewer { user_id: 5, elevated: false });
        let states: Vec<_> = found.towards_target[0].states.iter().map(|state| (state.state.as_str(), state.count)).collect();
        assert_eq!(states, [("established", 1), ("time_wait", 2)]);
        let ports = ephemeral("32768\t60999\n", &tcp, &[target]).unwrap();
        assert_eq!((ports.in_use, ports.towards[0].port, ports.towards[0].in_use), (4, 443, 2));
        assert_eq!(ports.size(), 28_232);
    }

    #[test]
    fn other_users_connections_are_counted_by_state_only_unless_privileged() {
        let tcp = [line(0, 1, 1, "192.0.2.1", 22), line(5, 1, 2, "192.0.2.1", 443)];
        let own = count(&tcp, &[], &[], Viewer { user_id: 5, elevated: false });
        assert_eq!((own.tcp[0].count, own.owners.len(), own.remote_ports.len()), (2, 1, 1));
        let all = count(&tcp, &[], &[], Viewer { user_id: 0, elevated: true });
        assert_eq!((all.owners.len(), all.remote_ports.len()), (2, 2));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_connection_of_this_process_is_found_with_its_programs_name() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let _open = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let port = listener.local_addr().unwrap().port();
        let viewer = Viewer { user_id: nix::unistd::geteuid().as_raw(), elevated: false };
        let found = read(&["127.0.0.1".parse().unwrap()], viewer).unwrap();
        let towards = &found.towards_target[0];
        assert!(towards.states.iter().any(|state| state.state == "established" && state.count >= 1), "{towards:?}");
        assert!(found.owners.iter().all(|owner| owner.own) && found.complete);
        assert!(!found.processes.is_empty(), "no program of {port}");
    }
}
