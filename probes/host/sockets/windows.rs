//! The sockets as Windows lists them, in the form in which Linux does: a process stands in the place of an inode.

use super::line::{Line, STATES};
use super::processes::Holders;
use super::{MAX_KEPT, Viewer, count, listening};
use crate::platform::windows::sockets::{Row, programs, tcp, udp};
use netsonde_contract::observation::{ProcessSockets, Sockets};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// `MIB_TCP_STATE` from 1 on; its last, `delete_tcb`, is of a connection that is being forgotten.
const OF_SYSTEM: [&str; 12] = [
    "close",
    "listen",
    "syn_sent",
    "syn_received",
    "established",
    "fin_wait_1",
    "fin_wait_2",
    "close_wait",
    "closing",
    "last_ack",
    "time_wait",
    "close",
];

/// What the system lists now. It names no users; programs of others only to an administrator.
pub(super) fn read(targets: &[IpAddr]) -> Option<Sockets> {
    let tcp: Vec<Line> = tcp()?.iter().map(line).collect();
    let udp: Vec<Line> = udp().unwrap_or_default().iter().map(line).collect();
    // The system shows everybody the connections of all.
    let mut sockets = count(&tcp, &udp, targets, Viewer { user_id: 0, elevated: true });
    sockets.owners = Vec::new();
    let holders = holders(tcp.iter().chain(&udp));
    sockets.listening = listening(&tcp, &udp, &holders.by_inode);
    sockets.processes = holders.counts;
    Some(sockets)
}

fn line(row: &Row) -> Line {
    let state = row.state.checked_sub(1).and_then(|state| OF_SYSTEM.get(usize::try_from(state).ok()?));
    let number = state.and_then(|state| STATES.iter().position(|known| known == state));
    Line {
        local: row.local,
        local_port: row.local_port,
        remote: row.remote,
        remote_port: row.remote_port,
        state: number.and_then(|number| u8::try_from(number).ok()).unwrap_or_default(),
        user_id: 0,
        inode: row.process.into(),
        drops: 0,
    }
}

fn holders<'l>(lines: impl Iterator<Item = &'l Line>) -> Holders {
    let mut held: BTreeMap<u32, u32> = BTreeMap::new();
    for process in lines.filter_map(|line| u32::try_from(line.inode).ok()).filter(|process| *process > 0) {
        *held.entry(process).or_default() += 1;
    }
    let named = programs(&held.keys().copied().collect::<BTreeSet<u32>>());
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for (process, count) in &held {
        if let Some(name) = named.get(process) {
            *counts.entry(name).or_default() += count;
        }
    }
    let mut counts: Vec<_> =
        counts.into_iter().map(|(process, count)| ProcessSockets { process: process.to_owned(), count }).collect();
    counts.sort_by_key(|found| std::cmp::Reverse(found.count));
    counts.truncate(MAX_KEPT);
    Holders { counts, by_inode: named.into_iter().map(|(process, name)| (process.into(), name)).collect() }
}
