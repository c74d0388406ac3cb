use crate::capture::flow::Flow;
use crate::context::Context;
use crate::platform::tcp::is_in_progress;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpStream as StdStream};
use tokio::net::TcpStream;

impl Context {
    /// Connects. The flow is noted before its first packet is answered, so that a capture keeps what a refusal looked like.
    ///
    /// # Errors
    /// The system's own.
    pub(crate) async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        match socket.connect(&address.into()) {
            Err(error) if !is_in_progress(&error) => return Err(error),
            _ => {}
        }
        if let Some(local) = socket.local_addr().ok().and_then(|local| local.as_socket()) {
            self.flow(Flow::Tcp { local_port: local.port(), remote: address });
        }
        let stream = TcpStream::from_std(StdStream::from(socket))?;
        stream.writable().await?;
        match stream.take_error()? {
            Some(error) => Err(error),
            None => Ok(stream),
        }
    }

    /// Notes that what is exchanged with `remote` from this local address is this check's.
    pub(crate) fn datagrams(&self, local: io::Result<SocketAddr>, remote: SocketAddr) {
        if let Ok(local) = local {
            self.flow(Flow::Udp { local_port: local.port(), remote });
        }
    }
}
