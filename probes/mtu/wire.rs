use super::search::Event;
use netsonde_contract::failure::Failure;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// One way to send packets of a size and to hear what becomes of them, one at a time.
pub(super) trait Wire {
    /// The rest before a size is tried again, in which limits on answers recover.
    const REST: Duration;

    fn target(&self) -> IpAddr;

    /// The largest data that the host allows in one segment of TCP, in bytes.
    fn mss(&self) -> Option<u16> {
        None
    }

    /// Makes ready to send, with packets of its own where that takes any.
    ///
    /// # Errors
    /// Where nothing can be sent: a fact about the host.
    fn ready(&mut self) -> impl Future<Output = Result<(), Failure>>;

    /// Sends a packet of this size, its IP header and all others included.
    ///
    /// # Errors
    /// The system's own; "message too long" where the interface does not take the size.
    fn send(&mut self, size_bytes: u32) -> io::Result<()>;

    /// Waits for what becomes of the packet that was sent last. Answers to earlier ones are passed over.
    ///
    /// # Errors
    /// Where nothing can be heard, or the packet did not leave for a reason other than its size.
    fn answer(&mut self) -> impl Future<Output = Result<Heard, Failure>>;
}

/// What a wire heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Event(Event),
    /// What it was sent on has ended: nothing is known of the packet.
    Ended,
}
