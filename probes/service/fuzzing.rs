//! The parsers of every protocol of the table.

use super::foreign;
use super::protocol::{Asking, Heard, PROTOCOLS, Reading};
use netsonde_contract::harmless::is_clean;
use netsonde_contract::kind::ServiceProtocol;

/// The bytes as the answer to each question of the protocol; then as answers one after the other, as far as each is whole.
pub(crate) fn answers(name: ServiceProtocol, bytes: &[u8]) {
    let (mut heard, mut rest) = (Heard::default(), bytes);
    for step in PROTOCOLS.iter().filter(|protocol| protocol.name == name).flat_map(|protocol| protocol.steps) {
        let asking = Asking { heard: &heard, random: &[7; 64], port: 1, tls: true };
        (step.ask)(&asking);
        let Some(read) = step.read else { continue };
        if let Reading::Done(alone, used) = read(bytes) {
            hold(&alone, used, bytes);
        }
        if let Reading::Done(next, used) = read(rest) {
            hold(&next, used, rest);
            rest = rest.get(used..).unwrap_or_default();
            heard.merge(*next);
        }
    }
}

/// Whatever a service says stands in facts and on terminals.
fn hold(heard: &Heard, used: usize, bytes: &[u8]) {
    assert!(used <= bytes.len(), "{used} of {} bytes", bytes.len());
    let words = [&heard.greeting, &heard.product, &heard.version].into_iter().flatten().chain(&heard.capabilities);
    let refusal = heard.refusal.iter().flat_map(|refusal| [&refusal.code, &refusal.text]);
    for word in words.chain(refusal) {
        assert!(is_clean(word), "{word:?}");
    }
}

/// Whose greeting it is.
pub(crate) fn foreign(bytes: &[u8]) {
    foreign::name(bytes);
}
