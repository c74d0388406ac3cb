//! What the service control manager of Windows keeps of a service's program: one line.

/// Whether the line starts this program. Paths of Windows are the same in letters of either case.
pub(super) fn starts(line: &str, program: &str) -> bool {
    program_of(line).to_lowercase() == program.to_lowercase()
}

/// The program's path: within quotation marks, or else up to where `.exe` ends a word.
pub(super) fn program_of(line: &str) -> &str {
    const ENDING: &str = ".exe";
    let line = line.trim_start();
    if let Some(quoted) = line.strip_prefix('"') {
        return quoted.split('"').next().unwrap_or_default();
    }
    let lower = line.to_ascii_lowercase();
    let mut ends = lower.match_indices(ENDING).map(|(at, _)| at + ENDING.len());
    let end = ends.find(|end| line[*end..].chars().next().is_none_or(char::is_whitespace));
    end.map_or_else(|| line.split_whitespace().next().unwrap_or_default(), |end| &line[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_of_another_program_is_told_from_ones_own() {
        let own = r"C:\Program Files\netsonde\netsonde.exe";
        for same in [
            r#""C:\Program Files\netsonde\netsonde.exe" agent --service"#,
            r#""c:\PROGRAM FILES\netsonde\Netsonde.EXE""#,
            r"C:\Program Files\netsonde\netsonde.exe agent --service",
            r"C:\Program Files\netsonde\netsonde.exe",
        ] {
            assert!(starts(same, own), "{same}");
        }
        for (line, program) in [
            (r#""C:\Program Files\netsonde by hand\netsonde.exe" agent"#, r"C:\Program Files\netsonde by hand\netsonde.exe"),
            (r#""C:\nssm.exe" "C:\Program Files\netsonde\netsonde.exe""#, r"C:\nssm.exe"),
            (r"C:\old.exes\other.exe /run C:\x.exe", r"C:\old.exes\other.exe"),
            (r"C:\other\runs agent", r"C:\other\runs"),
            ("", ""),
        ] {
            assert!(!starts(line, own), "{line}");
            assert_eq!(program_of(line), program);
        }
    }
}
