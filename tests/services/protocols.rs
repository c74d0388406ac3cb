use super::daemons;
use netsonde_contract::observation::{Fact, Service, ServiceReach};

fn product(service: &Service) -> (&str, bool) {
    (
        service.product.as_deref().unwrap_or_default(),
        service.version.as_deref().is_some_and(|version| version.starts_with(|c: char| c.is_ascii_digit())),
    )
}

fn has(service: &Service, capability: &str) -> bool {
    service.capabilities.iter().any(|one| one.starts_with(capability))
}

fn is_secured(service: &Service) -> bool {
    let made = service
        .tls_upgrade
        .as_ref()
        .is_some_and(|upgrade| upgrade.version.as_deref().is_some_and(|version| version.starts_with("TLSv1")));
    made && service.reached == ServiceReach::Secured && service.failure.is_none()
}

#[test]
fn openssh_is_known_with_its_algorithms() {
    let Some(world) = daemons::sshd("") else { return };
    let service = world.ask("ssh", 2222);
    assert_eq!(product(&service), ("OpenSSH", true), "{service:?}");
    assert!(has(&service, "key exchange curve25519-sha256") && has(&service, "host key ssh-ed25519"), "{service:?}");
    assert!(service.failure.is_none() && service.first_byte_us.is_some());
    let other = world.ask("smtp", 2222);
    assert_eq!(other.spoke.as_deref(), Some("SSH"), "{other:?}");
}

#[test]
fn vsftpd_goes_on_in_tls_and_refuses_one_client_too_many() {
    let Some(mut world) = daemons::vsftpd("max_clients=1") else { return };
    let service = world.ask("ftp", 2121);
    assert_eq!(product(&service), ("vsFTPd", true), "{service:?}");
    assert!(has(&service, "AUTH TLS") && is_secured(&service), "{service:?}");
    world.occupy(2121, "", "220");
    world.wait_for("a refusal of one client too many", |world| {
        let service = world.ask("ftp", 2121);
        service.refusal.is_some_and(|refusal| refusal.code == "421")
    });
}

#[test]
fn postfix_goes_on_in_tls() {
    let Some(world) = daemons::postfix("") else { return };
    let service = world.ask("smtp", 2525);
    assert_eq!(service.product.as_deref(), Some("Postfix"), "{service:?}");
    assert!(has(&service, "STARTTLS") && is_secured(&service), "{service:?}");
    assert_eq!(world.ask("ftp", 2525).spoke.as_deref(), Some("SMTP"));
    let service = world.ask("smtp", 465);
    assert_eq!(service.product.as_deref(), Some("Postfix"), "{service:?}");
    assert!(is_secured(&service) && !has(&service, "STARTTLS"), "{service:?}");
}

#[test]
fn postfix_refuses_a_client_that_it_lists() {
    let Some(world) = daemons::postfix("smtpd_client_restrictions = reject\nsmtpd_delay_reject = no") else { return };
    let service = world.ask("smtp", 2525);
    let refusal = service.refusal.clone().unwrap_or_else(|| panic!("{service:?}"));
    assert_eq!(refusal.code, "554", "{refusal:?}");
}

#[test]
fn slapd_shows_its_root_entry_and_goes_on_in_tls() {
    let Some(world) = daemons::slapd("") else { return };
    let service = world.ask("ldap", 3890);
    assert_eq!(service.product.as_deref(), Some("OpenLDAP"), "{service:?}");
    assert!(has(&service, "LDAP version 3") && is_secured(&service), "{service:?}");
}

#[test]
fn slapd_that_wants_tls_first_says_so() {
    let Some(world) = daemons::slapd("security tls=1") else { return };
    let service = world.ask("ldap", 3890);
    let refusal = service.refusal.clone().unwrap_or_else(|| panic!("{service:?}"));
    assert_eq!(refusal.code, "confidentialityRequired", "{refusal:?}");
}

#[test]
fn samba_negotiates_its_dialect() {
    let Some(world) = daemons::smbd() else { return };
    let service = world.ask("smb", 4450);
    assert_eq!(service.version.as_deref(), Some("3.1.1"), "{service:?}");
    assert!(has(&service, "signing required") && service.failure.is_none(), "{service:?}");
}

#[test]
fn rpcbind_lists_its_programs() {
    let Some(world) = daemons::rpcbind() else { return };
    let service = world.ask("rpcbind", 111);
    assert!(has(&service, "rpcbind 2 tcp 111") && service.failure.is_none(), "{service:?}");
    // It speaks RPC, and has no NFS.
    assert_eq!(world.ask("nfs", 111).refusal.map(|refusal| refusal.code).as_deref(), Some("prog_unavail"));
}

#[test]
fn ganesha_names_its_versions_and_rpcbind_knows_it() {
    let Some(world) = daemons::ganesha() else { return };
    let service = world.ask("nfs", 2049);
    assert_eq!((service.version.as_deref(), service.greeting.as_deref()), (Some("4"), Some("NFS 3 to 4")), "{service:?}");
    assert!(has(&service, "answers the null procedure") && service.failure.is_none(), "{service:?}");
    world.wait_for("the registration of NFS", |world| has(&world.ask("rpcbind", 111), "nfs 4 tcp 2049"));
}

#[test]
fn redis_tells_its_version_or_that_it_wants_a_password() {
    let Some(world) = daemons::redis("") else { return };
    let service = world.ask("redis", 6390);
    assert_eq!(product(&service), ("Redis", true), "{service:?}");
    let Some(world) = daemons::redis("--requirepass hidden") else { return };
    let service = world.ask("redis", 6390);
    assert!(has(&service, "asks for a password") && service.refusal.is_none() && service.failure.is_none(), "{service:?}");
}

#[test]
fn redis_that_is_full_refuses() {
    let Some(mut world) = daemons::redis("--maxclients 1") else { return };
    world.occupy(6390, "PING\\r\\n", "+PONG");
    world.wait_for("a refusal of one client too many", |world| world.ask("redis", 6390).refusal.is_some());
}

#[test]
fn postgresql_goes_on_in_tls_and_without_it_names_its_versions() {
    let Some(world) = daemons::postgres(true) else { return };
    let service = world.ask("postgres", 5433);
    assert!(is_secured(&service), "{service:?}");
    drop(world);
    let Some(world) = daemons::postgres(false) else { return };
    let service = world.ask("postgres", 5433);
    assert!(service.failure.is_none() && service.capabilities.iter().any(|words| words.contains("3.0")), "{service:?}");
    assert!(!service.tls_upgrade.unwrap().offered);
}

#[test]
fn mariadb_goes_on_in_tls_and_refuses_hosts_that_it_does_not_know() {
    let Some(world) = daemons::mariadb("--skip-name-resolve") else { return };
    let service = world.ask("mysql", 3307);
    assert!(product(&service) == ("MariaDB", true) && is_secured(&service), "{service:?}");
    // Only the host of the socket may sign in: 127.0.0.1 is none.
    world.shell(&format!(
        "mariadb --no-defaults -S {} -u root -e \"delete from mysql.global_priv where host <> 'localhost'; flush privileges\"",
        world.path("socket")
    ));
    let service = world.ask("mysql", 3307);
    let refusal = service.refusal.clone().unwrap_or_else(|| panic!("{service:?}"));
    assert_eq!(refusal.code, "1130", "{refusal:?}");
}

#[test]
fn xrdp_negotiates_tls() {
    let Some(world) = daemons::xrdp() else { return };
    let service = world.ask("rdp", 3390);
    assert!(is_secured(&service), "{service:?}");
}

#[test]
fn strongswan_answers_on_both_ports() {
    let Some(world) = daemons::charon() else { return };
    for port in [500, 4500] {
        let service = world.ask("ike", port);
        assert_eq!((service.version.as_deref(), service.failure.is_none()), (Some("2.0"), true), "{service:?}");
    }
}

#[test]
fn dnsmasq_offers_an_address_and_leases_none() {
    let Some((client, server)) = daemons::dnsmasq() else { return };
    for host in ["255.255.255.255", "10.89.0.1"] {
        let facts = client.probe(&["service", host, "dhcp"]);
        let Some(Fact::Service(service)) = facts.first() else { panic!("{facts:?}") };
        assert!(has(service, "offers 10.89.0.5") || has(service, "offers 10.89.0.6"), "{service:?}");
        assert!(has(service, "server 10.89.0.1") && has(service, "domain lab.test") && service.failure.is_none(), "{service:?}");
    }
    assert_eq!(std::fs::read_to_string(server.path("leases")).unwrap_or_default(), "");
}
