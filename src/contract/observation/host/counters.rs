use super::InterfaceCounters;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the kernel counts, read twice: when the host check began, and when the run's last check had ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counters {
    /// None on the first reading, whose figures count from the system's start; on the last one the time since the first, and all figures
    /// say how much they grew in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_us: Option<u64>,
    /// Those that are not zero.
    pub counters: Vec<Counter>,
    /// By how much each interface's counters grew.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<InterfaceGrowth>,
    /// Of all processors together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<CpuTime>,
}

/// The kernel's group and name, such as `Tcp.RetransSegs`, `TcpExt.ListenOverflows`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counter {
    /// The counter's name, with its group.
    pub name: String,
    /// Its value.
    pub value: u64,
}

/// An interface's counters, or how much they grew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InterfaceGrowth {
    /// Its name.
    pub name: String,
    pub counters: InterfaceCounters,
}

/// Processor time in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CpuTime {
    /// Time in use, in milliseconds.
    pub busy_ms: u64,
    /// Time without work, in milliseconds.
    pub idle_ms: u64,
    /// The hypervisor gave this time to other machines.
    pub steal_ms: u64,
}

impl Counters {
    /// The counter's value; zero where it did not count.
    pub fn value(&self, name: &str) -> u64 {
        self.counters.iter().find(|counter| counter.name == name).map_or(0, |counter| counter.value)
    }

    /// How much all of it grew since an earlier reading, `over_us` microseconds before.
    pub fn since(&self, earlier: &Self, over_us: u64) -> Self {
        let grown = |counter: &Counter| Counter {
            name: counter.name.clone(),
            value: counter.value.saturating_sub(earlier.value(&counter.name)),
        };
        let interface = |now: &InterfaceGrowth| {
            let then = earlier.interfaces.iter().find(|then| then.name == now.name)?;
            Some(InterfaceGrowth { name: now.name.clone(), counters: now.counters.since(&then.counters) })
        };
        let cpu = self.cpu.zip(earlier.cpu).map(|(now, then)| CpuTime {
            busy_ms: now.busy_ms.saturating_sub(then.busy_ms),
            idle_ms: now.idle_ms.saturating_sub(then.idle_ms),
            steal_ms: now.steal_ms.saturating_sub(then.steal_ms),
        });
        Self {
            over_us: Some(over_us),
            counters: self.counters.iter().map(grown).filter(|counter| counter.value > 0).collect(),
            interfaces: self.interfaces.iter().filter_map(interface).collect(),
            cpu,
        }
    }
}
