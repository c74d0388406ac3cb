use super::daemons;
use super::world::World;
use netsonde_contract::observation::Fact;

/// The handshake after STARTTLS ends with the certificate that the test issued.
fn judge(world: &World, protocol: &str, port: u16) {
    let port = port.to_string();
    let facts = world.probe(&["tls", "127.0.0.1", "--port", &port, "--starttls", protocol, "--trust", "ca.pem"]);
    let Some(Fact::Handshake(handshake)) = facts.first() else { panic!("{facts:?}") };
    assert!(handshake.failure.is_none(), "{handshake:?}");
    // At port 465 mail begins in TLS.
    assert!(handshake.starttls.as_ref().is_some_and(|starttls| starttls.agreed) || port == "465", "{handshake:?}");
    assert_eq!(handshake.chain.first().map(|leaf| leaf.subject.as_str()), Some("CN=service.test"));
    assert!(handshake.deciding_verdict().is_some_and(|verdict| verdict.trusted), "{handshake:?}");
}

#[test]
fn postfix_begins_tls_after_smtp() {
    let Some(world) = daemons::postfix("") else { return };
    judge(&world, "smtp", 2525);
    judge(&world, "smtp", 465);
}

#[test]
fn dovecot_begins_tls_after_imap() {
    let Some(world) = daemons::dovecot() else { return };
    judge(&world, "imap", 1143);
}

#[test]
fn postgresql_begins_tls_after_its_question() {
    let Some(world) = daemons::postgres(true) else { return };
    judge(&world, "postgres", 5433);
}

#[test]
fn mariadb_begins_tls_after_its_greeting() {
    let Some(world) = daemons::mariadb("--skip-name-resolve") else { return };
    judge(&world, "mysql", 3307);
}

#[test]
fn slapd_begins_tls_after_its_extended_operation() {
    let Some(world) = daemons::slapd("") else { return };
    judge(&world, "ldap", 3890);
}
