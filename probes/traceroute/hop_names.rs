use crate::context::Context;
use crate::dns::{name_of, system_servers};
use futures_util::StreamExt;
use futures_util::stream::iter;
use netsonde_contract::failure::FailureCode;
use netsonde_contract::observation::HopName;
use std::future::ready;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Names are an extra: those that did not come in this time, over all questions, are left out. Silent servers and a gate that paces them take it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Questions under way at once.
const AT_ONCE: usize = 8;
/// Without an address, which reports may not show.
const NOT_ALLOWED: &str = "the names of some hops were not asked for: the policy does not let them be";

/// The names that the system's name servers give for the addresses, where they do and the policy lets them be asked.
pub(super) async fn of(context: &Context, addresses: &[IpAddr]) -> Vec<HopName> {
    by(context, addresses, &system_servers().await).await
}

async fn by(context: &Context, addresses: &[IpAddr], servers: &[SocketAddr]) -> Vec<HopName> {
    let ask = |address: IpAddr| async move {
        match name_of(context, address, servers).await {
            Ok(name) => name.map(|name| HopName { address, name }),
            Err(failure) => {
                if failure.code == FailureCode::NotAllowed {
                    context.gate.note_limit(NOT_ALLOWED);
                }
                None
            }
        }
    };
    let asked = iter(addresses.iter().copied().map(ask)).buffered(AT_ONCE);
    asked.filter_map(ready).take_until(Box::pin(tokio::time::sleep(PATIENCE))).collect().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::gate::{Gate, Limits};
    use crate::tls::servers;
    use hickory_proto::op::{Message, MessageType};
    use hickory_proto::rr::rdata::PTR;
    use hickory_proto::rr::{Name, RData, Record};
    use netsonde_contract::policy::{Policy, Reach};
    use std::sync::{Arc, Mutex};
    use tokio::net::UdpSocket;

    /// A name server that calls every address router.example, and the names that it was asked for.
    async fn server() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let (address, heard) = (socket.local_addr().unwrap(), Arc::new(Mutex::new(Vec::new())));
        let asked = Arc::clone(&heard);
        tokio::spawn(async move {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let mut message = Message::from_vec(&buffer[..length]).unwrap();
                let name = message.queries[0].name().clone();
                asked.lock().unwrap().push(name.to_ascii());
                message.metadata.message_type = MessageType::Response;
                let router = Name::from_ascii("router.example.").unwrap();
                message.add_answer(Record::from_rdata(name, 60, RData::PTR(PTR(router))));
                socket.send_to(&message.to_vec().unwrap(), from).await.unwrap();
            }
        });
        (address, heard)
    }

    /// The server is an address as any other to these policies, since it is not at port 53.
    async fn asked(policy: &str, hops: &[&str]) -> (Vec<HopName>, Vec<String>, u64, Vec<String>) {
        let (server, heard) = server().await;
        let clock = Clock::start();
        let policy = Policy::parse("policy.toml", policy).unwrap();
        let gate = Arc::new(Gate::within(Reach::of(&policy, &[]), Limits::PERSON, clock));
        let context = Context { gate, ..servers::context(&[]) };
        let hops: Vec<IpAddr> = hops.iter().map(|hop| hop.parse().unwrap()).collect();
        let names = by(&context, &hops, &[server]).await;
        let heard = heard.lock().unwrap().clone();
        (names, heard, context.gate.sent(), context.gate.limits_hit())
    }

    #[tokio::test]
    async fn a_hops_name_is_asked_for_through_the_gate_which_counts_it() {
        let policy = "[targets]\nnetworks = [\"127.0.0.0/8\", \"203.0.113.0/24\"]\n";
        let (names, heard, sent, limits) = asked(policy, &["203.0.113.8"]).await;
        assert_eq!(names, [HopName { address: "203.0.113.8".parse().unwrap(), name: "router.example".to_owned() }]);
        assert_eq!((heard, sent, limits.len()), (vec!["8.113.0.203.in-addr.arpa.".to_owned()], 1, 0));
    }

    #[tokio::test]
    async fn what_the_policy_denies_or_does_not_open_is_asked_of_nobody() {
        let own = "networks = [\"127.0.0.0/8\"]\n";
        let deny = "deny = [\"*.in-addr.arpa\", \"*.ip6.arpa\"]\n";
        for policy in [
            format!("[targets]\nnames = [\"*\"]\n{own}{deny}"),
            format!("[targets]\nnames = [\"shop.example\"]\n{own}"),
            format!("[targets]\nnames = [\"*\"]\n{own}resolvers = false\n"),
        ] {
            let (names, heard, sent, limits) = asked(&policy, &["203.0.113.8", "2001:db8::8"]).await;
            assert!(names.is_empty() && heard.is_empty() && sent == 0, "{policy}: {heard:?}");
            assert_eq!(limits, [NOT_ALLOWED], "{policy}");
        }
    }
}
