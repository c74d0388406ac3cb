//! Files whose bytes changed where they lay: a page of the backend's database, a bundle in the agent's spool, the agent's flight recorder.

use crate::kills::end;
use crate::tally::Tally;
use crate::world::World;
use anyhow::{Context, Result};
use netsonde_tests::programs::program;
use netsonde_tests::remote::Agent;
use std::path::Path;
use tokio::net::TcpListener;
use tokio::process::Command;

/// Of the database.
const PAGE: usize = 4_096;

pub(crate) async fn run() -> Result<Tally> {
    let mut tally = Tally::default();
    database(&mut tally).await?;
    spool(&mut tally).await?;
    ring(&mut tally).await?;
    Ok(tally)
}

fn overwrite(file: &Path, from: usize, to: usize) -> Result<()> {
    let mut bytes = std::fs::read(file).with_context(|| format!("reading {}", file.display()))?;
    let end = to.min(bytes.len());
    bytes.get_mut(from..end).context("the file is too short to be damaged")?.fill(0xa5);
    std::fs::write(file, bytes).with_context(|| format!("writing {}", file.display()))
}

/// The backend says that its database is damaged before it serves anybody, and serves again once the copy of before is back.
async fn database(tally: &mut Tally) -> Result<()> {
    let mut world = World::new().await?;
    let parcel = world.parcel().await?;
    let waiting = world.parcel().await?;
    if !end(&world, &parcel).await? {
        tally.lost.push("a bundle was not delivered although nothing stood in its way".to_owned());
    }
    tally.acknowledged += 1;
    // A clean end folds the log into the file.
    world.backend.stop().await?;
    let file = world.stage.folder().join("backend/netsonde.db");
    let whole = folder_copy(&file)?;
    let pages = whole.iter().find(|(path, _)| *path == file).map_or(0, |(_, bytes)| bytes.len() / PAGE);
    let mut noticed = 0;
    for page in (1..pages).step_by((pages / 8).max(1)) {
        for (path, bytes) in &whole {
            std::fs::write(path, bytes).context("putting the database back")?;
        }
        overwrite(&file, page * PAGE, (page + 1) * PAGE)?;
        tally.faults += 1;
        let mut serve = Command::new(program("netsonde-backend")?);
        serve.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(world.stage.folder().join("backend")).kill_on_drop(true);
        // One that starts does not end by itself: the log healed the page, or nothing uses it.
        if let Ok(output) = tokio::time::timeout(std::time::Duration::from_secs(5), serve.output()).await {
            let output = output.context("running netsonde-backend serve")?;
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            if output.status.success() || !said.contains("the database is damaged") {
                tally.wanting.push(format!("page {page} of the database is damaged and the backend says: {said}"));
            }
            noticed += 1;
        }
    }
    if noticed == 0 {
        tally.wanting.push("no damaged page of the database was noticed".to_owned());
    }
    for (path, bytes) in &whole {
        std::fs::write(path, bytes).context("putting the database back")?;
    }
    let stage = &world.stage;
    world.backend.restart(stage).await?;
    if !end(&world, &waiting).await? {
        tally.lost.push("after the database was put back a bundle that waited is not delivered".to_owned());
    }
    tally.acknowledged += 1;
    crate::kills::judge(&mut world, &[parcel, waiting], tally).await
}

/// The database with its log.
fn folder_copy(database: &Path) -> Result<Vec<(std::path::PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    for suffix in ["", "-wal", "-shm"] {
        let path = std::path::PathBuf::from(format!("{}{suffix}", database.display()));
        if let Ok(bytes) = std::fs::read(&path) {
            files.push((path, bytes));
        }
    }
    anyhow::ensure!(!files.is_empty(), "the backend has no database");
    Ok(files)
}

/// A damaged bundle is put aside and said, and the one beside it is delivered.
async fn spool(tally: &mut Tally) -> Result<()> {
    let mut world = World::new().await?;
    let parcel = world.parcel().await?;
    let (second, _) = world.ticket().await?;
    let ended = world.measure(&second, &parcel.state)?.wait().await.context("waiting for netsonde")?;
    let folder = parcel.state.join("spool/ready").join(&parcel.id);
    let file = folder.read_dir().context("looking into the spool")?.flatten().map(|entry| entry.path());
    let file = file.into_iter().find(|path| path.to_string_lossy().ends_with(".tar.gz")).context("no bundle")?;
    overwrite(&file, 100, 200)?;
    tally.faults += 1;
    let mut list = Command::new(program("netsonde")?);
    list.args(["spool", "retry", &parcel.id, "--ticket", &parcel.ticket, "--yes", "--state-dir"]).arg(&parcel.state);
    let said = list.output().await.context("running netsonde spool retry")?;
    let said = format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr));
    let aside = parcel.state.join("spool/quarantine").join(&parcel.id);
    if !aside.is_dir() || !said.contains("damaged") {
        tally.lost.push(format!("a damaged bundle is not put aside ({ended}), or not said: {said}"));
    }
    let left = parcel.state.join("spool/ready").read_dir().map_or(0, Iterator::count);
    if left != 1 {
        tally.lost.push(format!("beside a damaged bundle {left} wait, and one did"));
    }
    Ok(())
}

/// The agent begins a new flight recorder, keeps the old one aside and says so, and goes on measuring.
async fn ring(tally: &mut Tally) -> Result<()> {
    let world = World::new().await?;
    let listener = TcpListener::bind("127.0.0.1:0").await.context("listening on loopback")?;
    let target = listener.local_addr().context("the target's address")?;
    let mut agent = Agent::on(&world.stage, "ring", "version = 1\n", None)?;
    agent.configure(&format!(
        "version = 1\n[[schedule]]\nname = \"shop\"\nset = \"port\"\ntargets = [\"{target}\"]\nevery = \"10s\"\nsplay = \"1ms\"\nbudget = \"8s\"\n[schedule.health]\nok_after = 1\n"
    ))?;
    agent.start(&world.stage)?;
    agent.until_says("is ok").await?;
    agent.kill().await?;
    let state = world.stage.folder().join("ring/state");
    overwrite(&state.join("history.redb"), 0, 512)?;
    tally.faults += 1;
    agent.start(&world.stage)?;
    agent.until_says("the history was damaged and begins anew").await?;
    let history = agent.netsonde(&world.stage, &["history"]).await?;
    if !state.join("history.damaged").is_file() || !history.contains("shop") {
        tally.lost.push(format!("a damaged flight recorder is not kept aside, or none is begun: {history}"));
    }
    agent.stop().await?;
    Ok(())
}
