//! Files whose bytes changed where they lay: a page of the backend's database, a bundle in the agent's spool, the agent's flight recorder.

use crate::kills::{end, judge};
use crate::tally::Tally;
use crate::world::World;
use anyhow::{Context, Result, bail};
use netsonde_tests::programs::program;
use netsonde_tests::remote::Agent;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::process::Command;

/// Of the database, in bytes.
const PAGE: usize = 4_096;
/// So many pages of the database are damaged, one after the other, evenly spread.
const PAGES: usize = 8;
/// A start that is refused, or serves, takes a second; a machine that does much else gets this long.
const LONGEST_START: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(20);

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
    let bytes = whole.iter().find(|(path, _)| *path == file).map(|(_, bytes)| bytes.as_slice()).context("no database")?;
    // The second page is the first one beside that with the header, without which there is no database at all.
    let (pages, free) = (bytes.len() / PAGE, free_pages(bytes));
    let used: Vec<usize> = (2..=pages).filter(|page| !free.contains(page)).collect();
    for page in used.iter().step_by((used.len() / PAGES).max(1)) {
        put_back(&file, &whole)?;
        overwrite(&file, (page - 1) * PAGE, page * PAGE)?;
        tally.faults += 1;
        match start(&world).await? {
            None => {
                tally.wanting.push(format!("page {page} of {pages} of the database is damaged, and the backend serves from it"))
            }
            Some(output) => {
                let said = String::from_utf8_lossy(&output.stderr).into_owned();
                if output.status.success() || !said.contains("the database is damaged") {
                    tally.wanting.push(format!("page {page} of {pages} of the database is damaged and the backend says: {said}"));
                }
            }
        }
    }
    put_back(&file, &whole)?;
    let stage = &world.stage;
    world.backend.restart(stage).await?;
    if !end(&world, &waiting).await? {
        tally.lost.push("after the database was put back a bundle that waited is not delivered".to_owned());
    }
    tally.acknowledged += 1;
    judge(&mut world, &[parcel, waiting], tally).await
}

/// What a backend says that ends by itself; none of one that serves.
async fn start(world: &World) -> Result<Option<Output>> {
    let ready = world.stage.folder().join("damaged-ready.json");
    let mut serve = Command::new(program("netsonde-backend")?);
    serve.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(world.stage.folder().join("backend"));
    serve.arg("--ready-file").arg(&ready).kill_on_drop(true);
    let serves = async {
        while !ready.exists() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    };
    tokio::select! {
        output = serve.output() => Ok(Some(output.context("running netsonde-backend serve")?)),
        () = serves => std::fs::remove_file(&ready).context("removing the file of a backend that serves").map(|()| None),
        () = tokio::time::sleep(LONGEST_START) => bail!("with a damaged database the backend neither serves nor ends"),
    }
}

/// The numbers, from 1, of pages that nothing is in: the database's own list of them (sqlite.org/fileformat2.html, section 1.5). No others may be damaged unnoticed.
fn free_pages(database: &[u8]) -> BTreeSet<usize> {
    let number = |at: usize| {
        let bytes = database.get(at..at + 4).and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
        u32::from_be_bytes(bytes) as usize
    };
    let mut free = BTreeSet::new();
    let mut trunk = number(32);
    while trunk != 0 && free.insert(trunk) {
        let at = (trunk - 1) * PAGE;
        free.extend((0..number(at + 4).min(PAGE / 4)).map(|leaf| number(at + 8 + leaf * 4)));
        trunk = number(at);
    }
    free
}

/// With these files and no others: a log that is not among them was written by a backend that served.
fn put_back(database: &Path, files: &[(PathBuf, Vec<u8>)]) -> Result<()> {
    for path in parts(database) {
        match files.iter().find(|(known, _)| *known == path) {
            Some((_, bytes)) => std::fs::write(&path, bytes).context("putting the database back")?,
            None if path.exists() => std::fs::remove_file(&path).context("putting the database back")?,
            None => {}
        }
    }
    Ok(())
}

fn parts(database: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| PathBuf::from(format!("{}{suffix}", database.display())))
}

/// The database with its log.
fn folder_copy(database: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    for path in parts(database) {
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
    let beside = world.kept(second, parcel.state).context("the bundle beside a damaged one")?;
    if !end(&world, &beside).await? {
        tally.lost.push("the bundle beside a damaged one is not delivered".to_owned());
    }
    tally.acknowledged += 1;
    judge(&mut world, &[beside], tally).await
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
