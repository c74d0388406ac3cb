use super::MAX_KEPT;
use netsonde_contract::observation::ProcessSockets;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Processes and descriptors that are looked at: reading them all on a crowded machine would take longer than the check has.
const MAX_PROCESSES: usize = 4_096;
const MAX_DESCRIPTORS: usize = 65_536;

/// The programs behind sockets.
#[derive(Debug, Default)]
pub(super) struct Holders {
    /// Those with the most first.
    pub(super) counts: Vec<ProcessSockets>,
    /// By the socket's inode; one of them where several hold it.
    pub(super) by_inode: BTreeMap<u64, String>,
}

/// The programs that hold the sockets with these inodes. Other users' processes show theirs to those only who may look into them.
pub(super) fn of(inodes: &BTreeSet<u64>) -> Holders {
    let mut left = MAX_DESCRIPTORS;
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    let mut by_inode = BTreeMap::new();
    let Ok(processes) = std::fs::read_dir("/proc") else { return Holders::default() };
    let is_process = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    let processes = processes.flatten().filter(|entry| entry.file_name().to_str().is_some_and(is_process));
    for process in processes.take(MAX_PROCESSES) {
        let held = held(&process.path(), inodes, &mut left);
        if !held.is_empty() {
            let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            *counts.entry(name.trim().to_owned()).or_default() += u32::try_from(held.len()).unwrap_or(u32::MAX);
            by_inode.extend(held.into_iter().map(|inode| (inode, name.trim().to_owned())));
        }
    }
    let mut counts: Vec<ProcessSockets> = counts.into_iter().map(|(process, count)| ProcessSockets { process, count }).collect();
    counts.sort_by_key(|found| std::cmp::Reverse(found.count));
    counts.truncate(MAX_KEPT);
    Holders { counts, by_inode }
}

/// Which of the sockets the process holds.
fn held(process: &Path, inodes: &BTreeSet<u64>, left: &mut usize) -> Vec<u64> {
    let Ok(descriptors) = std::fs::read_dir(process.join("fd")) else { return Vec::new() };
    let mut found = Vec::new();
    for descriptor in descriptors.flatten().take(*left) {
        *left -= 1;
        let Ok(link) = std::fs::read_link(descriptor.path()) else { continue };
        let inode = link.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        found.extend(inode.filter(|inode: &u64| inodes.contains(inode)));
    }
    found
}
