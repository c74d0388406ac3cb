use super::meter::{MAX_SLICES, SLICE};
use crate::platform::tcp;
use socket2::Socket;
use std::time::Duration;

/// Counts the segments that reach this machine in each slice of a body's time, as the kernel tells. A program is given data only when every
/// hole before it is filled, and so sees a pause and then a burst where segments came all the time.
pub(super) struct Arrivals<'a> {
    /// None where nothing can be counted.
    socket: Option<&'a Socket>,
    began: Duration,
    /// What the kernel had counted when the last slice ended.
    seen: u32,
    slices: Vec<u32>,
}

impl<'a> Arrivals<'a> {
    pub(super) fn begin(socket: Option<&'a Socket>, now: Duration) -> Self {
        let seen = socket.and_then(counted);
        let socket = socket.filter(|_| seen.is_some());
        let seen = seen.unwrap_or_default();
        Self { socket, began: now, seen, slices: Vec::new() }
    }

    /// How long it is until the next slice begins; none where nothing is counted, or no more.
    pub(super) fn wait(&self, now: Duration) -> Option<Duration> {
        let ends = self.began + SLICE * u32::try_from(self.slices.len() + 1).unwrap_or(u32::MAX);
        (self.socket.is_some() && self.slices.len() < MAX_SLICES).then(|| ends.saturating_sub(now))
    }

    /// Looks at the counter where a slice has ended. What came since it was last looked at counts for that slice; those that went by
    /// meanwhile, because this program was not woken, stay empty.
    pub(super) fn note(&mut self, now: Duration) {
        if self.wait(now).is_none_or(|wait| !wait.is_zero()) {
            return;
        }
        let Some(seen) = self.socket.and_then(counted) else {
            self.socket = None;
            return;
        };
        self.slices.push(seen.wrapping_sub(self.seen));
        self.seen = seen;
        while self.wait(now).is_some_and(|wait| wait.is_zero()) {
            self.slices.push(0);
        }
    }

    /// The segments of each slice, the begun one last; nothing of a body that was over within the first.
    pub(super) fn finish(mut self, now: Duration) -> Vec<u32> {
        self.note(now);
        if self.slices.is_empty() {
            return Vec::new();
        }
        if let Some(seen) = self.socket.and_then(counted).filter(|_| self.slices.len() < MAX_SLICES) {
            self.slices.push(seen.wrapping_sub(self.seen));
        }
        self.slices
    }
}

fn counted(socket: &Socket) -> Option<u32> {
    tcp::info(socket)?.data_segments
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn segments_are_counted_in_the_slice_in_which_they_came() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut far, _) = listener.accept().unwrap();
        let socket = SockRef::from(&near).try_clone().unwrap();
        let mut arrivals = Arrivals::begin(Some(&socket), Duration::ZERO);
        if arrivals.wait(Duration::ZERO).is_none() {
            println!("skipped: segments_are_counted_in_the_slice_in_which_they_came: this system does not count them");
            return;
        }
        let mut pass = |bytes: &[u8]| {
            far.write_all(bytes).unwrap();
            near.read_exact(&mut vec![0; bytes.len()]).unwrap();
        };
        assert_eq!(arrivals.wait(Duration::from_millis(30)), Some(Duration::from_millis(70)));
        pass(b"first");
        arrivals.note(Duration::from_millis(99));
        arrivals.note(Duration::from_millis(100));
        arrivals.note(Duration::from_millis(310));
        pass(b"second");
        assert_eq!(arrivals.finish(Duration::from_millis(350)), [1, 0, 0, 1]);
    }

    #[test]
    fn a_short_body_and_one_without_a_counter_have_no_slices() {
        assert_eq!(Arrivals::begin(None, Duration::ZERO).finish(Duration::from_secs(9)), [0_u32; 0]);
        assert_eq!(Arrivals::begin(None, Duration::ZERO).wait(Duration::ZERO), None);
    }
}
