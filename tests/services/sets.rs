use super::daemons;
use super::world::World;
use netsonde_contract::document::Document;
use netsonde_contract::finding::Severity;
use netsonde_contract::outcome::Status;

/// How each check ended, by its name.
fn status(document: &Document, check: &str) -> Option<Status> {
    document.outcomes.iter().find(|outcome| outcome.check.as_str() == check).map(|outcome| outcome.status)
}

/// What is more than a notice.
fn felt(document: &Document) -> Vec<&str> {
    let felt = document.findings.iter().filter(|finding| finding.severity >= Severity::Degraded);
    felt.map(|finding| finding.cause.as_str()).collect()
}

fn database(world: &World, protocol: &str, port: u16) -> Document {
    world.run("sql-endpoint", &format!("127.0.0.1:{port}"), &[&format!("protocol={protocol}")])
}

#[test]
fn databases_with_tls_are_as_expected() {
    for (world, protocol, port) in
        [(daemons::postgres(true), "postgres", 5433), (daemons::mariadb("--skip-name-resolve"), "mysql", 3307)]
    {
        let Some(world) = world else { return };
        let document = database(&world, protocol, port);
        for check in ["connect", "service", "tls", "echo"] {
            assert_eq!(status(&document, check), Some(Status::Succeeded), "{check}: {document:#?}");
        }
        assert_eq!(felt(&document), [""; 0], "{document:#?}");
    }
}

#[test]
fn a_database_without_tls_is_alive_all_the_same() {
    let Some(world) = daemons::postgres(false) else { return };
    let document = database(&world, "postgres", 5433);
    assert_eq!(status(&document, "service"), Some(Status::Succeeded), "{document:#?}");
    assert_eq!(felt(&document), [""; 0], "{document:#?}");
}

#[test]
fn another_service_on_the_databases_port_is_named() {
    let Some(world) = daemons::mariadb("--skip-name-resolve") else { return };
    let document = database(&world, "postgres", 3307);
    assert_eq!(felt(&document), ["service.wrong_protocol"], "{document:#?}");
}

#[test]
fn a_mail_server_is_asked_at_each_port() {
    let Some(world) = daemons::postfix("") else { return };
    let document = world.run("smtp", "127.0.0.1", &["ports=2525,465"]);
    for check in ["greeting.1", "greeting.2", "tls.1", "tls.2"] {
        assert_eq!(status(&document, check), Some(Status::Succeeded), "{check}: {document:#?}");
    }
    assert_eq!(felt(&document), [""; 0], "{document:#?}");
    let closed = world.run("smtp", "127.0.0.1", &["ports=2525,587"]);
    assert_eq!((felt(&closed), status(&closed, "greeting.1")), (vec!["tcp.refused"], Some(Status::Succeeded)), "{closed:#?}");
}
