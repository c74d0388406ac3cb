//! A name server on loopback that answers as a test says, over UDP and TCP on one port.

use hickory_proto::op::Message;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

/// The datagrams, or messages on the stream, that answer a question.
pub(super) type Answers = Vec<Vec<u8>>;

/// Runs until it is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    tasks: [JoinHandle<()>; 2],
}

impl Server {
    /// `answer` gets the question and whether it came over TCP.
    pub(super) async fn start(answer: impl Fn(&Message, bool) -> Answers + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        let (udp, tcp) = sockets().await;
        let address = udp.local_addr().unwrap();
        let over_udp = tokio::spawn({
            let answer = Arc::clone(&answer);
            async move {
                let mut buffer = [0; 1500];
                while let Ok((size, asker)) = udp.recv_from(&mut buffer).await {
                    for bytes in answer(&Message::from_vec(&buffer[..size]).unwrap(), false) {
                        udp.send_to(&bytes, asker).await.unwrap();
                    }
                }
            }
        });
        let over_tcp = tokio::spawn(async move {
            while let Ok((stream, _)) = tcp.accept().await {
                converse(stream, answer.as_ref()).await;
            }
        });
        Self { address, tasks: [over_udp, over_tcp] }
    }
}

/// Answers questions on a stream until there is none, or until there is no answer to one.
pub(super) async fn converse<S>(mut stream: S, answer: &(impl Fn(&Message, bool) -> Answers + Send + Sync))
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    while let Ok(length) = stream.read_u16().await {
        let mut question = vec![0; usize::from(length)];
        stream.read_exact(&mut question).await.unwrap();
        let answers = answer(&Message::from_vec(&question).unwrap(), true);
        if answers.is_empty() {
            return;
        }
        for bytes in answers {
            stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
            stream.write_all(&bytes).await.unwrap();
            stream.flush().await.unwrap();
        }
    }
}

/// One port for both: that of a UDP socket may be taken for TCP, so another is tried.
async fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()).await {
            return (udp, tcp);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// A reply to the question, without records.
pub(super) fn reply_to(question: &Message) -> Message {
    let mut reply = Message::response(question.id, question.op_code);
    reply.metadata.recursion_desired = question.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.add_queries(question.queries.iter().cloned());
    reply
}
