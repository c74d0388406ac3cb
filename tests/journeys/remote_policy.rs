use super::remote::{ALLOW, ask, founded, holding};
use super::world::{World, code, text};
use netsonde_tests::programs::program;
use netsonde_tests::remote::{self, Agent};
use netsonde_tests::stage::Backend;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn a_fresh_policy_takes_no_order_is_checked_and_is_never_overwritten() {
    let world = World::new();
    let file = world.stage.folder().join("etc/netsonde/policy.toml");
    let name = file.to_string_lossy().into_owned();
    let policy = async |what: &str| world.stage.netsonde(&["policy", what, "--policy", &name]).await.unwrap();
    let none = policy("check").await;
    assert_eq!(code(&none), 0, "{}", text(&none));
    assert!(text(&none).contains("no order runs"), "{}", text(&none));
    let made = policy("init").await;
    assert_eq!(code(&made), 0, "{}", text(&made));
    assert!(text(&made).contains(&name) && text(&made).contains("takes no orders"), "{}", text(&made));
    let checked = policy("check").await;
    assert_eq!(code(&checked), 0, "{}", text(&checked));
    let said = String::from_utf8_lossy(&checked.stdout);
    for words in ["is in order", "orders    deny", "names     none", "networks  none"] {
        assert!(said.contains(words), "{words} in {said}");
    }

    std::fs::write(&file, ALLOW).unwrap();
    let again = policy("init").await;
    assert_eq!(code(&again), 2, "{}", text(&again));
    assert!(text(&again).contains("it is there already"), "{}", text(&again));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), ALLOW);
    let said = text(&policy("check").await);
    for words in ["orders    allow", "networks  127.0.0.0/8", "never     127.0.0.9/32"] {
        assert!(said.contains(words), "{words} in {said}");
    }

    std::fs::write(&file, ALLOW.replace("\nnetworks", "\nnetwroks")).unwrap();
    let misspelt = policy("check").await;
    assert_eq!(code(&misspelt), 2, "{}", text(&misspelt));
    assert!(text(&misspelt).contains(":5:") && text(&misspelt).contains("did you mean `networks`"), "{}", text(&misspelt));
}

/// A signed order for this agent that no backend has.
async fn kept(world: &World, backend: &Backend, agent: &Agent, set: &str, target: &str) -> PathBuf {
    let folder = world.stage.folder();
    let (key, file) = (remote::key(&world.stage).to_string_lossy().into_owned(), folder.join("submit.json"));
    let wanted = ["trigger", set, "--agent", agent.short(), "--target", target, "--case", "P-1", "--key", &key, "--yes"];
    remote::desk(&world.stage, backend, &[&wanted[..], &["--output", &file.to_string_lossy()]].concat()).await.unwrap();
    let submit: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    std::fs::remove_file(file).unwrap();
    let order = folder.join(format!("order-of-{}.dsse.json", agent.short()));
    std::fs::write(&order, submit["envelope"].as_str().unwrap()).unwrap();
    order
}

/// What `netsonde policy explain` says of the order under this policy, and how it ends.
async fn explained(world: &World, agent: &Agent, order: &Path, policy: &str) -> (i32, String) {
    agent.allow(policy).unwrap();
    let (file, state) = (agent.policy(), agent.state());
    let [order, file, state] = [order, &file, &state].map(|path| path.to_string_lossy().into_owned());
    let output = world.stage.netsonde(&["policy", "explain", &order, "--policy", &file, "--state-dir", &state]).await.unwrap();
    (code(&output), text(&output))
}

/// The same by standard input.
async fn piped(agent: &Agent, order: &Path) -> Output {
    let mut command = Command::new(program("netsonde").unwrap());
    command.args(["policy", "explain", "-", "--policy"]).arg(agent.policy()).arg("--state-dir").arg(agent.state());
    command.stdin(std::fs::File::open(order).unwrap()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.kill_on_drop(true).output().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_become_of_an_order_is_told_with_the_line_that_decides_and_nothing_is_noted() {
    let target = "127.0.0.1:9".to_owned();
    let (world, backend) = founded("P-1", std::slice::from_ref(&target)).await;
    let agent = Agent::enrol(&world.stage, &backend, "oslo", ALLOW, None).await.unwrap();
    let order = kept(&world, &backend, &agent, &holding(&world, 1), &target).await;
    let audit = || std::fs::read_to_string(agent.state().join("audit.jsonl")).unwrap();
    let before = audit();
    let short = format!("{ALLOW}[budget]\ntime = \"1m\"\n");
    let cases = [
        (ALLOW.to_owned(), 0, "it would run", "orders.remote, line 3"),
        (ask(), 0, "somebody here would be asked", "orders.remote, line 3"),
        (ALLOW.replace("\"allow\"", "\"deny\""), 4, "refused: ", "orders.remote, line 3"),
        (ALLOW.replace("127.0.0.9/32", "127.0.0.1/32"), 4, "refused: ", "targets.deny_networks, line 6"),
        (ALLOW.replace("127.0.0.0/8", "10.0.0.0/8"), 4, "refused: ", "targets.networks, line 5"),
        (short, 4, "refused: ", "budget.time, line 8"),
    ];
    for (policy, exit, verdict, decides) in cases {
        let (ended, said) = explained(&world, &agent, &order, &policy).await;
        assert_eq!(ended, exit, "{policy}: {said}");
        for words in ["signed by SHA256:", "aimed at 127.0.0.1", verdict, &format!("decided by {decides}\n")] {
            assert!(said.contains(words), "`{words}` is not in {said}, by {policy}");
        }
    }
    agent.allow(ALLOW).unwrap();
    let by_pipe = piped(&agent, &order).await;
    assert!(code(&by_pipe) == 0 && text(&by_pipe).contains("it would run"), "{}", text(&by_pipe));
    assert_eq!(audit(), before, "nothing is noted");

    // Not this machine's, not an order, and no machine that could take one.
    let other = Agent::enrol(&world.stage, &backend, "rome", ALLOW, None).await.unwrap();
    let (ended, said) = explained(&world, &other, &order, ALLOW).await;
    assert!(ended == 4 && said.contains("refused before the policy is asked") && said.contains("other_agent"), "{said}");
    let (ended, said) = explained(&world, &agent, &agent.policy(), ALLOW).await;
    assert!(ended == 4 && said.contains("refused before the policy is asked"), "{said}");
    let nobody = Agent::on(&world.stage, "bern", ALLOW, None).unwrap();
    let (ended, said) = explained(&world, &nobody, &order, ALLOW).await;
    assert!(ended == 2 && said.contains("not enrolled"), "{said}");
}
