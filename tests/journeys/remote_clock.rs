use super::remote::{ALLOW, founded};
use jiff::SignedDuration;
use netsonde_agent::load::Clock;
use netsonde_contract::api::fleet::DeliveryState as State;
use netsonde_tests::remote::{self, Agent};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

/// The clocks of one process, moved for it alone.
#[path = "../faults/clocks.rs"]
mod clocks;

use clocks::Clocks;

const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);
/// A slot comes every ten seconds; a machine that is busy building something gets longer.
const PATIENCE: Duration = Duration::from_secs(90);

/// Counts who connects to it.
async fn counted() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let theirs = Arc::clone(&count);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            theirs.fetch_add(1, Ordering::Relaxed);
        }
    });
    (address, count)
}

async fn until_more(count: &AtomicUsize, than: usize) {
    let waiting = async {
        while count.load(Ordering::Relaxed) <= than {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, waiting).await.is_ok(), "the schedule goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_clock_that_is_wrong_by_a_year_orders_are_refused_the_refusal_names_it_and_schedules_go_on() {
    let (target, ordered) = counted().await;
    let (watched, scheduled) = counted().await;
    let (world, backend) = founded("W-1", std::slice::from_ref(&target)).await;
    let stage = &world.stage;
    let mut agent = Agent::enrol(stage, &backend, "oslo", ALLOW, None).await.unwrap();
    let schedule = "set = \"port\"\nevery = \"10s\"\nsplay = \"1ms\"\nbudget = \"8s\"\n";
    agent.configure(&format!("[[schedule]]\nname = \"shop\"\ntargets = [\"{watched}\"]\n{schedule}")).unwrap();
    agent.start(stage).unwrap();
    agent.until_online(stage, &backend).await.unwrap();
    let clocks = match Clocks::of(agent.process_id().unwrap()).await {
        Ok(clocks) => clocks,
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "{error:#}");
            eprintln!("skipped: a clock that is wrong by a year: {error:#}");
            return;
        }
    };
    let wanted = ["port", "--agent", agent.short(), "--target", &target, "--case", "W-1"];
    for (wrong_by, code) in [(YEAR, "key_list_expired"), (-YEAR, "clock_wrong")] {
        clocks.set(wrong_by.as_secs(), 0).unwrap();
        let shown = Clock::start().wall() + wrong_by;
        let order = remote::trigger(stage, &backend, &wanted).await.unwrap();
        let delivery = remote::until(stage, &backend, &order, State::Refused).await.unwrap();
        assert_eq!(delivery.code.as_deref(), Some(code), "{delivery:?}");
        let says = format!("this machine's clock says {}", &shown.to_string()[..5]);
        assert!(delivery.detail.as_ref().is_some_and(|detail| detail.contains(&says)), "{says} in {delivery:?}");
        assert_eq!((agent.runs(&order), ordered.load(Ordering::Relaxed)), (0, 0));
        until_more(&scheduled, scheduled.load(Ordering::Relaxed)).await;
    }
    // The backend said so too, and a report was signed by its time.
    agent.until_says("orders are refused while the clock stands before what was signed").await.unwrap();

    clocks.set(0, 0).unwrap();
    let order = remote::trigger(stage, &backend, &wanted).await.unwrap();
    remote::until(stage, &backend, &order, State::Uploaded).await.unwrap();
    assert!(agent.runs(&order) == 1 && ordered.load(Ordering::Relaxed) > 0);
    agent.netsonde(stage, &["audit", "verify"]).await.unwrap();
}
