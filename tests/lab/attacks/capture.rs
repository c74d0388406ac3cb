use anyhow::{Context, Result};
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, LinkAddr, SockFlag, SockProtocol, SockType, recvfrom, setsockopt, socket, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use std::fmt;
use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// `PACKET_OUTGOING` of packet(7): what this machine sends, on loopback too.
const OUTGOING: u8 = 4;
/// `PACKET_HOST` of packet(7): what came for this machine.
const INCOMING: u8 = 0;
/// Ports on loopback at which the backend is.
const OWN_PORTS: [u16; 2] = [super::ground::PORT, super::ground::TLS_PORT];
/// At which the machine's own name server answers, over UDP.
const NAMES_PORT: u16 = 53;
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
    /// The name that it asks the machine's own name server for: such a packet goes no further, and what counts of it is the name.
    asks: Option<String>,
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
    /// Bytes of IP packets that came from elsewhere.
    received: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// # Errors
    /// Where the namespace cannot be entered or gives no packet socket.
    pub(super) fn of(namespace: &str) -> Result<Self> {
        let path = Path::new("/run/netns").join(namespace);
        let (seen, ended) = (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicBool::new(false)));
        let received = Arc::new(AtomicU64::new(0));
        let (kept, counted, end) = (Arc::clone(&seen), Arc::clone(&received), Arc::clone(&ended));
        let (ready, opened) = std::sync::mpsc::channel();
        // A namespace is a thread's own.
        let thread = std::thread::spawn(move || match open(&path) {
            Ok(socket) => {
                // The starter waits for it.
                let _ = ready.send(Ok(()));
                watch(&socket, &kept, &counted, &end);
            }
            Err(error) => drop(ready.send(Err(error))),
        });
        opened.recv().context("the capture's thread ended")??;
        Ok(Self { seen, received, ended, thread: Some(thread) })
    }

    pub(super) fn clear(&self) {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.received.store(0, Ordering::Relaxed);
    }

    /// Bytes that came from other machines, headers included.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Those that went elsewhere than to the machine's own name server.
    pub(super) fn packets(&self) -> Vec<Packet> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter(|packet| packet.asks.is_none()).cloned().collect()
    }

    /// The names that the machine's own name server was asked for, in small letters.
    pub(super) fn names(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.iter().filter_map(|packet| packet.asks.clone()).collect()
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

fn watch(socket: &OwnedFd, seen: &Mutex<Vec<Packet>>, received: &AtomicU64, ended: &AtomicBool) {
    let mut frame = [0; 2048];
    while !ended.load(Ordering::Relaxed) {
        let Ok((length, Some(from))) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut frame) else { continue };
        if from.pkttype() == INCOMING {
            received.fetch_add(from_elsewhere(&frame[..length.min(frame.len())]).unwrap_or_default(), Ordering::Relaxed);
        }
        if from.pkttype() != OUTGOING {
            continue;
        }
        if let Some(packet) = read(&frame[..length.min(frame.len())]) {
            seen.lock().unwrap_or_else(PoisonError::into_inner).push(packet);
        }
    }
}

/// The length of an IP packet that did not come over loopback, as its header has it: the frame may be cut.
fn from_elsewhere(frame: &[u8]) -> Option<u64> {
    let packet = frame.get(14..)?;
    let number = |at: usize| Some(u64::from(u16::from_be_bytes(*packet.get(at..at + 2)?.first_chunk()?)));
    match u16::from_be_bytes(*frame.get(12..14)?.first_chunk()?) {
        0x0800 if *packet.get(12)? != 127 => number(2),
        0x86dd if packet.get(8..24)? != Ipv6Addr::LOCALHOST.octets() => Some(number(4)? + 40),
        _ => None,
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
        _ => Some(Packet { to: Ipv4Addr::UNSPECIFIED.into(), protocol: 0, port: None, opens: false, asks: None }),
    }
}

fn neighbour(to: IpAddr) -> Packet {
    Packet { to, protocol: NEIGHBOUR, port: None, opens: false, asks: None }
}

fn read_v4(packet: &[u8]) -> Option<Packet> {
    let header = usize::from(packet.first()? & 15) * 4;
    let address = |at: usize| Some(IpAddr::from(*packet.get(at..at + 4)?.first_chunk::<4>()?));
    let (protocol, rest) = (*packet.get(9)?, packet.get(header..)?);
    // What the name server answers is no packet of a probe; what it is asked for is a name that somebody hears of.
    let port = |at: usize| Some(u16::from_be_bytes(*rest.get(at..at + 2)?.first_chunk()?));
    if protocol == UDP && address(12)? == NAME_SERVER && port(0)? == NAMES_PORT {
        return None;
    }
    if protocol == UDP && address(16)? == NAME_SERVER && port(2)? == NAMES_PORT {
        let asks = Some(rest.get(8..).and_then(question).unwrap_or_else(|| "what is no question".to_owned()));
        return Some(Packet { to: NAME_SERVER, protocol, port: Some(NAMES_PORT), opens: false, asks });
    }
    counted(address(16)?, protocol, rest)
}

/// The name in a message's first question (RFC 1035 section 4.1.2).
fn question(message: &[u8]) -> Option<String> {
    let (mut labels, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*message.get(at)?);
        if length == 0 {
            return Some(labels.join("."));
        }
        labels.push(String::from_utf8_lossy(message.get(at + 1..at + 1 + length)?).to_lowercase());
        at += 1 + length;
    }
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
        return (to != NAME_SERVER).then_some(Packet { to, protocol, port: None, opens: false, asks: None });
    }
    let port = |at: usize| Some(u16::from_be_bytes(*rest.get(at..at + 2)?.first_chunk()?));
    let (from_port, to_port) = (port(0)?, port(2)?);
    let own = OWN_PORTS.contains(&from_port) || OWN_PORTS.contains(&to_port);
    if to.is_loopback() && own {
        return None;
    }
    let opens = protocol == TCP && rest.get(13).is_some_and(|flags| flags & 0x12 == 0x02);
    Some(Packet { to, protocol, port: Some(to_port), opens, asks: None })
}
