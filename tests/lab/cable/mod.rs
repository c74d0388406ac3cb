//! Cables made of this process: pairs of TAP devices, one in each of two namespaces, with every Ethernet frame carried from one to the
//! other. Delay, loss and all else that the kernel would need netem for are made on the way; the kernels at both ends see ordinary
//! links. One process of its own carries all cables of a network, and ends when its standard input is closed.

/// Chances that fall evenly.
mod even;
/// What a cable does to packets.
mod impairment;
/// TAP devices.
mod platform;
/// One direction of a cable.
mod wire;

pub(crate) use impairment::{Direction, Impairment};

use super::now;
use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};
use wire::Wire;

/// The longest frame of a TAP device without offloads, with room to spare.
const FRAME_BYTES: usize = 10_000;

/// One cable: its nodes, and the namespace and device of each end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cable {
    pub between: [String; 2],
    pub ends: [(String, String); 2],
    /// The same numbers fall for the same seed.
    pub seed: u64,
}

/// The process that carries the cables, as the lab sees it. It ends when this is dropped.
pub(crate) struct Carrier {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Carrier {
    /// Starts the process and waits until every device exists.
    ///
    /// # Errors
    /// Where it does not start or a device cannot be made; its own words are on standard error.
    pub(crate) fn start(cables: &[Cable]) -> Result<Self> {
        let program = std::env::current_exe().context("finding the lab's own program")?;
        let text = serde_json::to_string(cables).context("listing the cables")?;
        // A cable that waits for a processor delays what it carries: it comes before every ordinary program, however busy the machine.
        let mut command = Command::new("chrt");
        command.args(["--rr", "1"]).arg(program).arg("cables").arg(text).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("starting the cables")?;
        let orders = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("the cables have no output")?);
        let mut carrier = Self { child, orders, answers };
        carrier.expect("ready")?;
        Ok(carrier)
    }

    /// Sets what a cable does from now on.
    ///
    /// # Errors
    /// Where there is no such cable.
    pub(crate) fn set(&mut self, impairment: &Impairment) -> Result<()> {
        let line = serde_json::to_string(impairment).context("writing what a cable does")?;
        let orders = self.orders.as_mut().context("the cables have no input")?;
        writeln!(orders, "{line}").context("telling the cables")?;
        self.expect("set").with_context(|| format!("setting the cable between {}", impairment.between.join(" and ")))
    }

    fn expect(&mut self, wanted: &str) -> Result<()> {
        let mut line = String::new();
        self.answers.read_line(&mut line).context("waiting for the cables")?;
        if line.trim() != wanted {
            bail!("the cables said `{}` instead of `{wanted}`", line.trim());
        }
        Ok(())
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.orders = None;
        // One that is gone already needs no ending.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// One direction: what is under way, and who waits for more.
struct Lane {
    between: [String; 2],
    there: bool,
    wire: Mutex<Wire>,
    came: Condvar,
}

/// Carries the cables listed in `text` until standard input ends.
pub(crate) fn run(text: &str) -> Result<()> {
    let cables: Vec<Cable> = serde_json::from_str(text).context("reading the list of cables")?;
    let began = now();
    let mut lanes: Vec<Arc<Lane>> = Vec::new();
    for cable in &cables {
        let [left, right] = &cable.ends;
        let (left, right) = (open(left)?, open(right)?);
        for (from, to, there) in [(&left, &right, true), (&right, &left, false)] {
            let wire = Mutex::new(Wire::new(cable.seed * 2 + u64::from(there)));
            let lane = Arc::new(Lane { between: cable.between.clone(), there, wire, came: Condvar::new() });
            let (from, to) = (from.try_clone().context("sharing a device")?, to.try_clone().context("sharing a device")?);
            let (taking, giving) = (Arc::clone(&lane), Arc::clone(&lane));
            std::thread::spawn(move || take_in(from, &taking, began));
            std::thread::spawn(move || give_out(to, &giving, began));
            lanes.push(lane);
        }
    }
    println!("ready");
    for line in std::io::stdin().lock().lines() {
        let impairment: Impairment =
            serde_json::from_str(&line.context("reading an order")?).context("reading what a cable does")?;
        let mut set = 0;
        for lane in lanes.iter().filter(|lane| lane.between == impairment.between && impairment.concerns(lane.there)) {
            lane.wire.lock().unwrap_or_else(PoisonError::into_inner).set(impairment.clone());
            set += 1;
        }
        println!("{}", if set > 0 { "set" } else { "no such cable" });
    }
    Ok(())
}

/// Makes one end on a thread of its own, because entering a namespace is for the whole thread.
fn open((namespace, device): &(String, String)) -> Result<File> {
    let (namespace, device) = (namespace.clone(), device.clone());
    let made = std::thread::spawn(move || platform::open_tap(&namespace, &device)).join();
    made.unwrap_or_else(|_| bail!("making a device panicked"))
}

/// Reads frames until the device is gone. One that cannot be read, as while the device is down, is tried again.
fn take_in(mut from: File, lane: &Lane, began: Instant) {
    /// Long enough not to spin while a device is down.
    const PAUSE: Duration = Duration::from_millis(5);
    let mut bytes = vec![0; FRAME_BYTES];
    loop {
        match from.read(&mut bytes) {
            Ok(length) => {
                let frame = bytes[..length].to_vec();
                lane.wire.lock().unwrap_or_else(PoisonError::into_inner).handle(frame, began.elapsed());
                lane.came.notify_one();
            }
            Err(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// Writes each frame when it is due.
fn give_out(mut to: File, lane: &Lane, began: Instant) {
    let mut wire = lane.wire.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(frame) = wire.poll(began.elapsed()) {
            drop(wire);
            // A device that is down drops what it is given, as a link does.
            let _ = to.write(&frame);
            wire = lane.wire.lock().unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        wire = match wire.next_due() {
            Some(due) => {
                let wait = due.saturating_sub(began.elapsed());
                lane.came.wait_timeout(wire, wait).unwrap_or_else(PoisonError::into_inner).0
            }
            None => lane.came.wait(wire).unwrap_or_else(PoisonError::into_inner),
        };
    }
}
