use netsonde_contract::cause::CAUSES;
use netsonde_contract::kind::Kind;
use netsonde_tests::programs::program;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != "node_modules" && !name.starts_with('.') {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            files.push(path);
        }
    }
    files
}

/// The code of a file without its comments and without the unit tests at its foot.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let product = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
    product.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// Every place in `folder` whose code has one of the words.
fn places(folder: &str, words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for path in rust_files(&top().join(folder)) {
        let code = code(&path);
        found.extend(words.iter().filter(|word| code.contains(**word)).map(|word| format!("{}: {word}", path.display())));
    }
    found
}

#[test]
fn pure_crates_open_nothing_wait_for_nothing_and_read_no_clock() {
    let words = [
        "std::fs",
        "File::open",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
        "tokio::",
        "std::env",
        "std::process",
        "std::thread",
        "Instant",
        "SystemTime",
        "Timestamp::now",
        "Zoned::now",
        "getrandom",
        "async fn",
    ];
    for folder in ["src/contract", "src/diagnosis", "src/report"] {
        // Test fixtures that read and write golden files are compiled for tests only.
        let found: Vec<String> = places(folder, &words)
            .into_iter()
            .filter(|place| !place.contains("/golden") && !place.contains("tests.rs"))
            .collect();
        assert!(found.is_empty(), "{found:#?}");
    }
}

#[test]
fn unsafe_code_lives_in_platform_folders_only() {
    let found: Vec<String> = places(".", &["unsafe {", "unsafe fn", "unsafe impl", "expect(unsafe_code"])
        .into_iter()
        .filter(|place| !place.contains("/platform/") && !place.contains("tests/tidy.rs"))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

/// Each place says why it is sound.
#[test]
fn every_place_without_memory_safety_says_why_it_is_sound() {
    /// Between the words and the code stand other lines of the comment, and the attribute that lifts the lint.
    const ABOVE: usize = 6;
    let mut missing = Vec::new();
    for path in ["src", "probes", "tests"].iter().flat_map(|folder| rust_files(&top().join(folder))) {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let is_unsafe = |line: &str| {
            let code = line.split("//").next().unwrap();
            ["unsafe {", "unsafe impl"].iter().any(|word| code.contains(word) && !code.contains(&format!("\"{word}")))
        };
        for (at, _) in lines.iter().enumerate().filter(|(_, line)| is_unsafe(line)) {
            if !lines[at.saturating_sub(ABOVE)..=at].iter().any(|line| line.contains("SAFETY: ")) {
                missing.push(format!("{}:{}", path.display(), at + 1));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

/// What the agent is made of.
const OF_THE_AGENT: [&str; 6] = ["src/agent", "src/contract", "src/diagnosis", "src/report", "src/disk", "probes"];

/// What a run really starts, `quiet::processes` sees.
#[test]
fn the_agent_starts_no_child_process_but_the_systems_program_for_services() {
    let words = [
        "process::Command",
        "tokio::process",
        "std::process as",
        "CommandExt",
        "fork(",
        "execv",
        "execl",
        "fexecve",
        "posix_spawn",
        "libc::system",
        "SYS_clone",
        "SYS_exec",
        "CreateProcess",
        "ShellExecute",
        "WinExec",
    ];
    for folder in OF_THE_AGENT {
        let mut found = places(folder, &words);
        // One of several names of a list.
        for path in rust_files(&top().join(folder)) {
            let code = code(&path);
            let lists = code.split("process::{").skip(1).filter_map(|rest| rest.split('}').next());
            found.extend(lists.filter(|list| list.contains("Command")).map(|list| format!("{}: {list}", path.display())));
        }
        let others: Vec<String> = found.into_iter().filter(|place| !place.contains("service_control/manager.rs")).collect();
        assert_eq!(others, Vec::<String>::new());
    }
}

#[test]
fn the_agent_loads_no_code_while_it_runs_and_has_no_language_of_scripts() {
    let words =
        ["dlopen", "libloading", "LoadLibrary", "wasmtime", "wasmer", "mlua", "rhai", "rquickjs", "deno_core", "boa_engine"];
    for folder in OF_THE_AGENT {
        assert_eq!(places(folder, &words), Vec::<String>::new());
    }
    let of_all = fs::read_to_string(top().join("Cargo.toml")).unwrap();
    let found: Vec<&&str> = words.iter().filter(|word| of_all.lines().any(|line| line.starts_with(**word))).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn probes_record_and_rules_read() {
    assert_eq!(places("probes", &["netsonde_diagnosis", "Finding", "Diagnosis"]), Vec::<String>::new());
    assert_eq!(places("src/diagnosis", &["netsonde_probes"]), Vec::<String>::new());
}

#[test]
fn every_probe_kind_has_its_own_folder_under_its_own_name() {
    for kind in Kind::ALL {
        let folder = top().join("probes").join(kind.name());
        assert!(folder.join("mod.rs").is_file(), "{} has no {}", kind.name(), folder.display());
        assert!(top().join("src/contract/kind").join(format!("{}.rs", kind.name())).is_file());
    }
}

#[test]
fn every_probe_set_in_the_folder_is_in_the_catalogue() {
    let in_folder: BTreeSet<String> = fs::read_dir(top().join("probes/sets"))
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let listed: BTreeSet<String> = netsonde_contract::set::built_in().iter().map(|set| set.name.to_owned()).collect();
    assert_eq!(in_folder, listed);
}

/// Who mends a fault depends on whose network it is in.
#[test]
fn every_article_says_who_mends_it_in_each_cloud_and_on_premises() {
    let mut missing = Vec::new();
    for (code, article) in netsonde_diagnosis::ARTICLES {
        let mends = article.split("## Who fixes it, and how").nth(1).unwrap_or_default();
        let names = [["Azure", "Azure"], ["AWS", "Amazon"], ["GCP", "Google"], ["On premises", "on premises"]];
        let lacking = names.iter().filter(|either| !either.iter().any(|name| mends.contains(name)));
        missing.extend(lacking.map(|either| format!("{code}: {}", either[0])));
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn rules_articles_and_codes_agree() {
    for rule in netsonde_diagnosis::RULES {
        assert!(CAUSES.contains(&rule.code), "{} is not in the closed list", rule.code);
        assert!(netsonde_diagnosis::article(rule.code).is_some(), "{} has no article", rule.code);
        for neighbour in rule.neighbours {
            assert!(CAUSES.contains(neighbour), "{}: the neighbour {neighbour} is not in the closed list", rule.code);
        }
    }
    for entry in fs::read_dir(top().join("docs/causes")).unwrap() {
        let code = entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned();
        assert!(CAUSES.contains(&code.as_str()), "docs/causes/{code}.md explains no known cause");
    }
}

#[test]
fn every_code_of_the_closed_list_has_a_rule() {
    let without = |code: &&&str| netsonde_diagnosis::RULES.iter().all(|rule| rule.code != **code);
    assert_eq!(CAUSES.iter().filter(without).collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn every_scenario_expects_a_cause_that_has_a_rule() {
    for entry in fs::read_dir(top().join("tests/lab/scenarios")).unwrap() {
        let path = entry.unwrap().path();
        let text = fs::read_to_string(&path).unwrap();
        let words = ["cause = \"", "notice = \""];
        for line in text.lines().filter_map(|line| words.iter().find_map(|word| line.strip_prefix(word))) {
            let code = line.trim_end_matches('"');
            assert!(netsonde_diagnosis::RULES.iter().any(|rule| rule.code == code), "{}: {code} has no rule", path.display());
        }
    }
}

/// Rules that no network of the lab brings about, each with the reason. They are proven on facts only.
const WITHOUT_SCENARIO: &[(&str, &str)] = &[];

/// Networks that are odd and fine, on which nothing may be reported.
const LEAST_HEALTHY: usize = 15;

#[test]
fn enough_networks_are_odd_and_fine() {
    let expects = |path: &Path| fs::read_to_string(path).unwrap().contains("\n[expect]\n");
    let scenarios = fs::read_dir(top().join("tests/lab/scenarios")).unwrap().map(|entry| entry.unwrap().path());
    let healthy = scenarios.filter(|path| !expects(path)).count();
    assert!(healthy >= LEAST_HEALTHY, "only {healthy}");
}

/// For each rule that a network brings about there is another network on which it is near and wrong: the one's `never` names it.
#[test]
fn every_rule_with_a_scenario_has_a_near_miss() {
    let mut near = BTreeSet::new();
    for entry in fs::read_dir(top().join("tests/lab/scenarios")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let scenario: toml::Table = text.parse().unwrap();
        let never = scenario.get("expect").and_then(|expect| expect.get("never")).and_then(|never| never.as_array());
        near.extend(never.into_iter().flatten().filter_map(|code| code.as_str().map(str::to_owned)));
    }
    let excused = |code: &str| WITHOUT_SCENARIO.iter().any(|(without, _)| *without == code);
    let missing: Vec<&str> =
        netsonde_diagnosis::RULES.iter().map(|rule| rule.code).filter(|code| !near.contains(*code) && !excused(code)).collect();
    assert!(missing.is_empty(), "{missing:?} stand in no scenario's `never`");
}

/// What a scenario showed is kept, so that rules are tried on it without a network.
#[test]
fn every_scenario_has_recorded_evidence() {
    let stems = |folder: &str, ending: &str| -> BTreeSet<String> {
        let entries = fs::read_dir(top().join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        entries.filter_map(|name| Some(name.to_str()?.strip_suffix(ending)?.to_owned())).collect()
    };
    let (scenarios, evidence) = (stems("tests/lab/scenarios", ".toml"), stems("tests/golden", ".json.gz"));
    let unmatched: Vec<&String> = scenarios.symmetric_difference(&evidence).collect();
    assert!(unmatched.is_empty(), "{unmatched:?}: cargo lab NAME --write-golden");
}

#[test]
fn every_rule_has_a_scenario() {
    let mut expected = BTreeSet::new();
    for entry in fs::read_dir(top().join("tests/lab/scenarios")).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap();
        let words = ["cause = \"", "notice = \""];
        let codes = text.lines().filter_map(|line| words.iter().find_map(|word| line.strip_prefix(word)));
        expected.extend(codes.map(|code| code.trim_end_matches('"').to_owned()));
    }
    for rule in netsonde_diagnosis::RULES {
        let excused = WITHOUT_SCENARIO.iter().any(|(code, _)| *code == rule.code);
        assert!(expected.contains(rule.code) != excused, "{}: a scenario, or a reason why there is none", rule.code);
    }
}

#[test]
fn every_module_of_a_library_says_its_purpose() {
    for path in rust_files(&top()).into_iter().filter(|path| path.ends_with("lib.rs")) {
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let for_tests = |i: usize| i > 0 && lines[i - 1] == "#[cfg(test)]";
        for (i, line) in lines
            .iter()
            .enumerate()
            .filter(|(_, line)| line.ends_with(';') && (line.starts_with("mod ") || line.starts_with("pub mod ")))
        {
            if for_tests(i) {
                continue;
            }
            let above = lines[..i].iter().rev().find(|line| !line.starts_with("#[")).unwrap_or(&"");
            assert!(above.starts_with("/// "), "{}: `{line}` has no line of purpose", path.display());
        }
    }
}

#[test]
fn documents_name_files_that_exist() {
    for document in ["README.md", "ARCHITECTURE.md"] {
        let text = fs::read_to_string(top().join(document)).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if !link.contains("://") && !link.starts_with('#') {
                let path = link.split('#').next().unwrap();
                assert!(top().join(path).exists(), "{document} links to {path}, which does not exist");
            }
        }
    }
}

/// What a document names as its evidence, against what there is.
struct Named {
    tests: BTreeSet<String>,
    run: String,
}

impl Named {
    fn read() -> Self {
        let files = ["src", "probes", "tests"].iter().flat_map(|folder| rust_files(&top().join(folder)));
        let tests = files.flat_map(|path| tests_of(&fs::read_to_string(path).unwrap())).collect();
        Self { tests, run: fs::read_to_string(top().join("tests/run")).unwrap() }
    }

    /// A test, an attack, a scenario of the lab or a stage of `tests/run`.
    fn is_test(&self, name: &str) -> bool {
        let is_test = self.tests.contains(name);
        let is_attack = top().join("tests/attacks").join(name).is_dir();
        let is_scenario = top().join(format!("tests/lab/scenarios/{name}.toml")).is_file();
        is_test || is_attack || is_scenario || self.run.contains(&format!("stage_{name}()"))
    }
}

/// Names of the functions that the test runner calls, without those that it is told to leave out.
fn tests_of(source: &str) -> Vec<String> {
    let (mut found, mut is_test, mut is_ignored) = (Vec::new(), false, false);
    for line in source.lines().map(str::trim) {
        is_test |= line == "#[test]" || line.starts_with("#[tokio::test");
        is_ignored |= line.starts_with("#[ignore");
        let Some(head) = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ") else { continue };
        if is_test && !is_ignored {
            found.extend(head.split('(').next().map(str::to_owned));
        }
        (is_test, is_ignored) = (false, false);
    }
    found
}

/// The last cells of a table, from each row that follows `head`.
fn last_cells<'t>(text: &'t str, head: &str) -> Vec<(&'t str, &'t str)> {
    let tables = text.split(head).skip(1);
    let rows = tables.flat_map(|table| table.lines().skip(2).take_while(|line| line.starts_with('|')));
    rows.map(|row| (row, row.trim_end_matches('|').rsplit('|').next().unwrap())).collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> Vec<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

#[test]
fn only_what_the_test_runner_calls_counts_as_a_test() {
    let source = "#[test]\nfn one() {\n}\n#[tokio::test(flavor = \"x\")]\n#[cfg(unix)]\n  async fn two() {\nfn helper() {\n#[test]\n#[ignore]\nfn left_out() {\n";
    assert_eq!(tests_of(source), ["one", "two"]);
}

#[test]
fn each_claim_for_a_security_team_names_a_test_that_there_is_or_says_that_it_is_unproven() {
    let text = fs::read_to_string(top().join("docs/for-your-security-team.md")).unwrap();
    let there_is = Named::read();
    let mut tests = 0;
    let tables = ["| claim | test |", "| to forbid | do | test |"].map(|head| last_cells(&text, head));
    assert!(tables.iter().all(|rows| rows.len() > 4), "a table is not read");
    for (claim, named) in tables.into_iter().flatten() {
        let names: Vec<&str> = quoted(named).into_iter().filter(|name| !name.contains([' ', '-'])).collect();
        assert!(!names.is_empty() || named.contains("*unproven*"), "no test: {claim}");
        for name in names {
            assert!(there_is.is_test(name), "{name} is no test: {claim}");
            tests += 1;
        }
    }
    assert!(tests > 90, "{tests} tests were found: the tables are not read");
    // Beside the tables: what is as long as a sentence is a test's name.
    let is_sentence = |word: &&str| word.matches('_').count() > 3 && word.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    for name in quoted(&text).into_iter().filter(is_sentence) {
        assert!(there_is.is_test(name), "{name} is no test");
    }
}

#[test]
fn each_claim_of_a_platform_names_a_test_that_there_is_or_says_that_it_is_unproven() {
    let there_is = Named::read();
    for (document, head, least) in
        [("README.md", "| platform | what is proven | by |", 12), ("docs/platforms.md", "| platform | claim | held by |", 15)]
    {
        let text = fs::read_to_string(top().join(document)).unwrap();
        let claims = last_cells(&text, head);
        assert!(claims.len() >= least, "{document}: {} claims were found: the table is not read", claims.len());
        for (claim, named) in claims {
            let names = quoted(named);
            assert!(named.contains("unproven") || !names.is_empty(), "{document} names no test: {claim}");
            for name in names {
                let is_file = || top().join(name.split(' ').next().unwrap_or_default()).is_file();
                assert!(there_is.is_test(name) || name.contains('/') && is_file(), "{document}: {name} is no test: {claim}");
            }
        }
    }
}

/// Who asks for all packages gets every target that can be compiled.
#[test]
fn all_that_is_packed_is_all_that_can_be_compiled() {
    let read = |path: &str| fs::read_to_string(top().join(path)).unwrap();
    let (build, compile) = (read("packaging/build"), read("packaging/compile"));
    let chosen = build.lines().find_map(|line| line.split_once(" chosen=")).unwrap().1;
    let known = compile.split("(known: ").nth(1).and_then(|rest| rest.split(')').next()).unwrap();
    assert_eq!(chosen.split(',').collect::<Vec<_>>(), known.split(", ").collect::<Vec<_>>());
}

/// What no test compiles as it is shipped is shipped untried, and both tables say so.
#[test]
fn what_no_test_compiles_as_it_is_shipped_is_said_to_be_unproven() {
    let read = |path: &Path| fs::read_to_string(path).unwrap();
    let mut scripts: Vec<PathBuf> =
        fs::read_dir(top().join("tests/stages")).unwrap().map(|entry| entry.unwrap().path()).collect();
    scripts.push(top().join("tests/run"));
    let is_end = |c: char| c.is_whitespace() || c == ')';
    let mut compiled = BTreeSet::new();
    for path in scripts {
        let text = read(&path);
        let calls = text.split("packaging/compile ").skip(1);
        compiled.extend(calls.filter_map(|rest| rest.split(is_end).next().map(str::to_owned)));
    }
    let (readme, platforms) = (read(&top().join("README.md")), read(&top().join("docs/platforms.md")));
    let targets = [
        ("linux-x86_64", ["Linux x86_64, glibc", "Linux x86_64 "]),
        ("linux-x86_64-static", ["Linux x86_64, any C library", "Linux x86_64, static"]),
        ("linux-aarch64", ["Linux aarch64", "Linux aarch64"]),
        ("windows-x86_64", ["Windows x86_64", "Windows x86_64"]),
    ];
    let known = read(&top().join("packaging/build"));
    let known = known.lines().find_map(|line| line.split_once(" chosen=")).unwrap().1;
    assert_eq!(known.split(',').collect::<Vec<_>>(), targets.map(|(target, _)| target));
    for (target, names) in targets {
        for (text, name) in [&readme, &platforms].into_iter().zip(names) {
            let rows = text.lines().skip_while(|line| !line.starts_with(&format!("| {name}")));
            let mut rows = rows.enumerate().take_while(|(at, line)| *at == 0 || line.starts_with("| | ")).map(|(_, line)| line);
            let is_told = rows.any(|row| {
                let claim = row.split('|').nth(2).unwrap();
                let words = ["program as it is shipped", "programs as they are shipped"];
                row.contains("unproven") && words.iter().any(|word| claim.contains(word))
            });
            assert_eq!(is_told, !compiled.contains(target), "{target}, in the rows of {name}");
        }
    }
}

/// The entries of a manual page's section, each with its words, without what only groff reads.
fn entries(page: &str, section: &str) -> Vec<(String, String)> {
    let read =
        |line: &str| line.split_once(' ').filter(|_| line.starts_with('.')).map_or(line, |(_, words)| words).replace("\\-", "-");
    let section = page.split(&format!("\n.SH {section}\n")).nth(1).unwrap().split("\n.SH ").next().unwrap();
    let entries = section.split(".TP\n").skip(1).map(|entry| entry.split_once('\n').unwrap());
    entries.map(|(name, text)| (read(name), text.lines().map(read).collect::<Vec<_>>().join(" "))).collect()
}

fn manual_page() -> String {
    fs::read_to_string(top().join("packaging/linux/netsonde.1")).unwrap()
}

#[test]
fn exit_codes_are_the_same_in_the_program_its_help_the_readme_and_the_manual_page() {
    let read = |path: &str| fs::read_to_string(top().join(path)).unwrap();
    let program = read("src/agent/exit.rs");
    let values = program.lines().filter_map(|line| line.strip_prefix("pub(crate) const ")?.split_once(": u8 = "));
    let codes: BTreeSet<String> = values.map(|(_, value)| value.trim_end_matches(';').to_owned()).collect();
    assert!(codes.len() > 7, "exit.rs is not read: {codes:?}");

    let help = read("src/agent/command/mod.rs");
    let help = help.split("\nExit codes: ").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    let in_help: BTreeSet<String> = help.split(", ").map(|part| part.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(in_help, codes, "the help");

    let plain = |text: &str| text.trim().trim_end_matches('.').replace('`', "").to_lowercase();
    let readme = read("README.md");
    let rows = readme.split("| exit code | meaning |\n").nth(1).unwrap().lines().skip(1).take_while(|line| line.starts_with('|'));
    let in_readme: Vec<(String, String)> = rows
        .filter_map(|row| row.trim_matches('|').split_once('|'))
        .map(|(code, meaning)| (code.trim().to_owned(), plain(meaning)))
        .collect();
    assert_eq!(in_readme.iter().map(|(code, _)| code.clone()).collect::<BTreeSet<_>>(), codes, "README.md");
    let in_page: Vec<(String, String)> =
        entries(&manual_page(), "EXIT STATUS").into_iter().map(|(code, meaning)| (code, plain(&meaning))).collect();
    assert_eq!(in_page, in_readme, "the manual page beside README.md");
}

#[test]
fn the_manual_page_lists_the_programs_commands_and_the_folder_of_its_state() {
    let help = Command::new(program("netsonde").unwrap()).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let commands = help.split("\nCommands:\n").nth(1).unwrap().split("\n\n").next().unwrap().lines();
    // What is wrapped is further in.
    let commands: Vec<&str> =
        commands.filter_map(|line| line.strip_prefix("  ").filter(|name| !name.starts_with(' '))?.split(' ').next()).collect();
    assert!(commands.len() > 20, "the help is not read: {commands:?}");
    let names = |section: &str| entries(&manual_page(), section).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names("COMMANDS"), commands);

    let unit = fs::read_to_string(top().join("packaging/linux/netsonde-agent.service")).unwrap();
    let folder = unit.split("--state-dir ").nth(1).unwrap().split_whitespace().next().unwrap();
    assert!(names("FILES").iter().any(|name| name == folder), "{folder} is not among the files");
}

/// Whoever types README's commands one after the other finds what the first one made.
#[test]
fn the_readme_installs_the_package_from_the_folder_that_it_is_built_into() {
    let read = |path: &str| fs::read_to_string(top().join(path)).unwrap();
    let (build, manifest) = (read("packaging/build"), read("Cargo.toml"));
    let folder = build.lines().find_map(|line| line.strip_prefix("out=")?.split(' ').next()).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let version = manifest["workspace"]["package"]["version"].as_str().unwrap();
    let command = format!("apt-get install ./{folder}/netsonde_{version}_amd64.deb ");
    assert!(read("README.md").contains(&command), "README.md lacks `{command}`");
}
