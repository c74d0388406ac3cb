use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use std::fmt;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// `PACKET_OUTGOING` of packet(7): what this machine sends, on loopback too.
const OUTGOING: u8 = 4;
/// Ports on loopback at which the backend and the machine's own name server are.
const OWN_PORTS: [u16; 3] = [super::ground::PORT, super::ground::TLS_PORT, 53];
const NAME_SERVER: IpAddr = IpAddr::V4(super::ground::NAME_SERVER);
/// The router: who asks for its hardware address sends nothing to anybody yet.
const ROUTER_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const ROUTER_V6: &str = "fd77::2";
const TCP: u8 = 6;
const ICMP: u8 = 1;
const UDP: u8 = 17;
const ICMP_V6: u8 = 58;
/// Stands for a question for a hardware address: of ARP, or of neighbour discovery.
const NEIGHBOUR: u8 = 255;

/// A packet that left, or went to a program on loopback.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub to: IpAddr,
    protocol: u8,
    port: Option<u16>,
    /// It opens a TCP connection.
    opens: bool,
}

impl fmt::Display for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            TCP => "tcp",
            UDP => "udp",
            ICMP | ICMP_V6 => "icmp",
            NEIGHBOUR => "neighbour",
            _ => "ip",
        };
        match self.port {
            Some(port) => write!(f, "{protocol} {} port {port}", self.to),
            None => write!(f, "{protocol} {}", self.to),
        }
    }
}

/// Sees every packet that the agent's namespace sends, until it is dropped.
pub(super) struct Capture {
    seen: Arc<Mutex<Vec<Packet>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// # Errors
    /// Where the namespace cannot be entered or gives no packet socket.
    pub(super) fn of(namespace: &str) -> Result<Self> {
        let path = Path::new("/run/netns").join(namespace);
        let (seen, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let (kept, end) = (Arc::clone(&seen), Arc::clone(&ended));
        let (ready, opened) = std::sync::mpsc::channel();
        // A namespace is a thread's own.
        let thread = std::thread::spawn(move || match open(&path) {
            Ok(socket) => {
                // The starter waits for it.
                let _ = ready.send(Ok(()));
                watch(&socket, &kept, &end);
            }
            Err(error) => drop(ready.send(Err(error))),
        });
        opened.recv().context("the capture's thread ended")??;
        Ok(Self { seen, ended, thread: Some(thread) })
    }

    pub(super) fn clear(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn packets(&self) -> Vec<Packet> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// TCP connections that were begun.
    pub(super) fn connections(&self) -> usize {
        self.packets().iter().filter(|packet| packet.opens).count()
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It ends by itself at its next look.
            let _ = thread.join();
        }
    }
}

fn open(namespace: &Path) -> Result<OwnedFd> {
    let file = File::open(namespace).with_context(|| format!("opening {}", namespace.display()))?;
    setns(file, CloneFlags::CLONE_NEWNET).context("entering the agent's namespace")?;
    let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::EthAll)
        .context("opening a packet socket")?;
    setsockopt(&socket, sockopt::RcvBuf, &(8 << 20)).context("asking for room for packets")?;
    setsockopt(&socket, sockopt::ReceiveTimeout, &TimeVal::milliseconds(100)).context("setting how long to wait")?;
    Ok(socket)
}

fn watch(socket: &OwnedFd, seen: &Mutex<Vec<Packet>>, ended: &AtomicBool) {
    let mut frame = [0; 2048];
    while !ended.load(Ordering::Relaxed) {
        let Ok((length, Some(from))) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut frame) else { continue };
        if from.pkttype() != OUTGOING {
            continue;
        }
        if let Some(packet) = read(&frame[..length.min(frame.len())]) {
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(packet);
        }
    }
}

/// The packet in an Ethernet frame, where it is one that counts.
fn read(frame: &[u8]) -> Option<Packet> {
    let kind = u16::from_be_bytes(*frame.get(12..14)?.first_chunk()?);
    let rest = frame.get(14..)?;
    match kind {
        0x0800 => read_v4(rest),
        0x86dd => read_v6(rest),
        0x0806 => {
            let asked = Ipv4Addr::from(*rest.get(24..28)?.first_chunk::<4>()?);
            let is_question = rest.get(6..8)? == [0, 1];
            (is_question && asked != ROUTER_V4).then(|| neighbour(asked.into()))
        }
        // Whatever else leaves is seen as well.
        _ => Some(Packet { to: Ipv4Addr::UNSPECIFIED.into(), protocol: 0, port: None, opens: false }),
    }
}

fn neighbour(to: IpAddr) -> Packet {
    Packet { to, protocol: NEIGHBOUR, port: None, opens: false }
}

fn read_v4(packet: &[u8]) -> Option<Packet> {
    let header = usize::from(packet.first()? & 15) * 4;
    let to = IpAddr::from(*packet.get(16..20)?.first_chunk::<4>()?);
    counted(to, *packet.get(9)?, packet.get(header..)?)
}

fn read_v6(packet: &[u8]) -> Option<Packet> {
    let to = IpAddr::from(*packet.get(24..40)?.first_chunk::<16>()?);
    let (protocol, rest) = (*packet.get(6)?, packet.get(40..)?);
    match (protocol, rest.first()) {
        // Multicast listener reports begin with hop-by-hop options; who is on the link is found out by the kernel (RFC 4861).
        (0, _) | (ICMP_V6, Some(133 | 134 | 136 | 143)) => None,
        (ICMP_V6, Some(135)) => {
            let asked = Ipv6Addr::from(*rest.get(8..24)?.first_chunk::<16>()?);
            let is_router = ROUTER_V6.parse() == Ok(asked) || asked.is_unicast_link_local();
            (!is_router).then(|| neighbour(asked.into()))
        }
        _ => counted(to, protocol, rest),
    }
}

fn counted(to: IpAddr, protocol: u8, rest: &[u8]) -> Option<Packet> {
    if protocol != TCP && protocol != UDP {
        // A reply of the name server that nobody waits for any more is answered so by the kernel.
        return (to != NAME_SERVER).then_some(Packet { to, protocol, port: None, opens: false });
    }
    let port = |at: usize| Some(u16::from_be_bytes(*rest.get(at..at + 2)?.first_chunk()?));
    let (from_port, to_port) = (port(0)?, port(2)?);
    let own = OWN_PORTS.contains(&from_port) || OWN_PORTS.contains(&to_port);
    if to.is_loopback() && own {
        return None;
    }
    let opens = protocol == TCP && rest.get(13).is_some_and(|flags| flags & 0x12 == 0x02);
    Some(Packet { to, protocol, port: Some(to_port), opens })
}
