use super::connection::{QuicConnection, lost};
use netsonde_contract::failure::{Failure, FailureCode, Step};
use quinn_proto::{Dir, Event, ReadError, ReadableError, StreamEvent, StreamId};

impl QuicConnection {
    /// Turns until the handshake is over.
    ///
    /// # Errors
    /// What ended it instead.
    pub(crate) async fn shake(&mut self) -> Result<(), Failure> {
        loop {
            match self.turn().await? {
                Some(Event::Connected) => return Ok(()),
                Some(Event::ConnectionLost { reason }) => return Err(lost(&reason)),
                _ => {}
            }
        }
    }

    /// Sends the bytes on a stream of their own and reads what comes back on it, until that is `whole` or the stream ends.
    ///
    /// # Errors
    /// Where the server allows no stream, resets it, or the connection ends.
    pub(crate) async fn ask(&mut self, bytes: &[u8], whole: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>, Failure> {
        let refused = |text: String| Failure::new(FailureCode::ProtocolError, Step::Send, text);
        let Some(id) = self.state.streams().open(Dir::Bi) else { return Err(refused("the server allows no stream".to_owned())) };
        let mut stream = self.state.send_stream(id);
        match stream.write(bytes) {
            Ok(count) if count == bytes.len() => {}
            Ok(count) => return Err(refused(format!("the server takes only {count} bytes at first"))),
            Err(error) => return Err(refused(error.to_string())),
        }
        stream.finish().map_err(|error| refused(error.to_string()))?;
        let mut received = Vec::new();
        loop {
            let ended = match self.turn().await? {
                Some(Event::Stream(StreamEvent::Readable { id: readable })) if readable == id => self.read(id, &mut received)?,
                Some(Event::ConnectionLost { reason }) => return Err(lost(&reason)),
                _ => false,
            };
            if ended || whole(&received) {
                return Ok(received);
            }
        }
    }

    /// Takes what is there. Says whether the stream has ended. Flow control bounds what the server can send.
    fn read(&mut self, id: StreamId, received: &mut Vec<u8>) -> Result<bool, Failure> {
        let broken = |text: String| Failure::new(FailureCode::Reset, Step::Receive, text);
        let mut stream = self.state.recv_stream(id);
        let mut chunks = match stream.read(true) {
            Ok(chunks) => chunks,
            Err(ReadableError::ClosedStream) => return Ok(true),
            Err(error) => return Err(broken(error.to_string())),
        };
        let ended = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => received.extend_from_slice(&chunk.bytes),
                Ok(None) => break Ok(true),
                Err(ReadError::Blocked) => break Ok(false),
                Err(ReadError::Reset(code)) => break Err(broken(format!("the server reset the stream with code {code}"))),
            }
        };
        // What it frees is told to the server with the next packet.
        let _ = chunks.finalize();
        ended
    }
}
