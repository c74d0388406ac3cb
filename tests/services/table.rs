use netsonde_contract::kind::ServiceProtocol;
use std::path::Path;

/// The tests that the table speaks of.
const TESTS: &str = include_str!("protocols.rs");

#[test]
fn the_documentation_lists_each_protocol_once_and_what_proved_it() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/services.md");
    let text = std::fs::read_to_string(path).unwrap();
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(rows.len(), ServiceProtocol::ALL.len());
    for (row, protocol) in rows.iter().zip(ServiceProtocol::ALL) {
        let begins =
            format!("| `{}` | {}/{} | {} |", protocol.name(), protocol.port(), protocol.transport().name(), protocol.help());
        assert!(row.starts_with(&begins), "{row}\nshould begin\n{begins}");
        let proved = row.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap().trim();
        let asked = [format!("ask(\"{}\",", protocol.name()), format!("\"{}\"]", protocol.name())];
        let is_asked =
            asked.iter().any(|words| TESTS.contains(words)) || TESTS.contains(&format!("\"{}\", port)", protocol.name()));
        assert_eq!(proved.starts_with("unproven"), !is_asked, "a test asks a real server, or the row says unproven: {row}");
        assert_eq!(is_asked, *protocol != ServiceProtocol::Mssql, "{row}");
    }
}
