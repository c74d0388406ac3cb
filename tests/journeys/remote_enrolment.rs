use super::remote::{ALLOW, founded};
use super::terminal::Terminal;
use super::world::{World, code};
use netsonde_tests::programs::program;
use netsonde_tests::remote::{self, Agent};
use netsonde_tests::stage::Backend;
use std::process::{Output, Stdio};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// What the desk hands out, and shows of it.
struct Made {
    string: String,
    fingerprints: [String; 2],
}

async fn made(world: &World, backend: &Backend, uses: &str) -> Made {
    let text = remote::desk(&world.stage, backend, &["enrol", "--uses", uses, "--format", "json"]).await.unwrap();
    let made: serde_json::Value = serde_json::from_str(&text).unwrap();
    let of = |name: &str| made[name].as_str().unwrap().to_owned();
    Made { string: of("enrolment"), fingerprints: [of("root_fingerprint"), of("receipt_fingerprint")] }
}

/// `netsonde enroll` on this machine, with this on its standard input and nobody at it.
async fn piped(world: &World, agent: &Agent, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new(program("netsonde").unwrap());
    command.arg("enroll").args(arguments).arg("--policy").arg(agent.policy()).arg("--state-dir").arg(agent.state());
    command.env("HOME", world.stage.folder()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    for variable in ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        command.env_remove(variable);
    }
    let mut process = command.kill_on_drop(true).spawn().unwrap();
    process.stdin.take().unwrap().write_all(input.as_bytes()).await.unwrap();
    process.wait_with_output().await.unwrap()
}

async fn is_enrolled(world: &World, agent: &Agent) -> bool {
    agent.own_id(&world.stage).await.is_ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_string_by_standard_input_enrols_nothing_where_nobody_has_compared_the_fingerprints() {
    let (world, backend) = founded("E-1", &[]).await;
    let made = made(&world, &backend, "1").await;
    let agent = Agent::on(&world.stage, "oslo", ALLOW, None).unwrap();
    let none: &[&str] = &[];
    for arguments in [none, &["-"]] {
        let refused = piped(&world, &agent, arguments, &format!("{}\n", made.string)).await;
        let said = remote::said(&refused);
        assert_eq!(code(&refused), 4, "{said}");
        assert!(said.contains("nobody can be asked") && said.contains("next:"), "{said}");
        for fingerprint in &made.fingerprints {
            assert!(said.contains(fingerprint), "{fingerprint} in {said}");
        }
        assert!(!is_enrolled(&world, &agent).await);
    }
    // The code is not spent: with the word beforehand the same string enrols.
    let enrolled = piped(&world, &agent, &["-", "--yes"], &format!("  {}\n", made.string)).await;
    assert_eq!(code(&enrolled), 0, "{}", remote::said(&enrolled));
    assert!(is_enrolled(&world, &agent).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_who_is_asked_says_whether_the_fingerprints_are_supports() {
    let Some(terminal) = Terminal::open("an enrolment") else { return };
    let (world, backend) = founded("E-2", &[]).await;
    let made = made(&world, &backend, "1").await;
    let agent = Agent::on(&world.stage, "oslo", ALLOW, None).unwrap();
    let command = format!(
        "clear; HOME={} {} enroll --policy {} --state-dir {}; echo ended=$?",
        world.stage.folder().display(),
        program("netsonde").unwrap().display(),
        agent.policy().display(),
        agent.state().display()
    );
    for (key, ended, words, enrolled) in
        [("n", "ended=4", "nothing was enrolled", false), ("y", "ended=0", "Enrolled with Contoso support", true)]
    {
        terminal.enter(&command);
        terminal.until("the prompt", |screen| screen.contains("Paste the string")).await;
        terminal.enter(&made.string);
        let asked = terminal.until("the question", |screen| screen.contains("what support's message shows?")).await;
        for fingerprint in &made.fingerprints {
            assert!(asked.contains(fingerprint), "{fingerprint} in {asked}");
        }
        assert!(!is_enrolled(&world, &agent).await, "before anybody has answered");
        terminal.press(key);
        let screen = terminal.until("the end", |screen| screen.lines().any(|line| line == ended)).await;
        assert!(screen.contains(words), "{screen}");
        assert_eq!(is_enrolled(&world, &agent).await, enrolled);
        terminal.enter("clear");
        terminal.until("an empty screen", |screen| !screen.contains("ended=")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_string_enrols_as_many_machines_as_it_was_made_for() {
    let (world, backend) = founded("E-3", &[]).await;
    let made = made(&world, &backend, "2").await;
    for name in ["oslo", "rome"] {
        let mut agent = Agent::on(&world.stage, name, ALLOW, None).unwrap();
        let enrolled = piped(&world, &agent, &["-", "--yes"], &made.string).await;
        assert_eq!(code(&enrolled), 0, "{}", remote::said(&enrolled));
        agent.id = agent.own_id(&world.stage).await.unwrap();
        agent.start(&world.stage).unwrap();
        agent.until_online(&world.stage, &backend).await.unwrap();
    }
    let third = Agent::on(&world.stage, "bern", ALLOW, None).unwrap();
    let refused = piped(&world, &third, &["-", "--yes"], &made.string).await;
    let said = remote::said(&refused);
    assert_ne!(code(&refused), 0, "{said}");
    assert!(said.contains("was good for 2 agents") && said.contains("next:"), "{said}");
    assert!(!is_enrolled(&world, &third).await);
}
