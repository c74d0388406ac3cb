//! The real backend on a disk that becomes full at one block after the other: a small file system in memory, in a mount namespace of its own.

use crate::kills::end;
use crate::tally::Tally;
use crate::world::World;
use anyhow::{Context, Result, bail};
use netsonde_tests::programs::program;
use netsonde_tests::stage::{Backend, Stage};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{ChildStdin, ChildStdout, Command};

/// Bundles of some twelve kilobytes take three blocks twice, and rows some more: the disk ends before, in the midst of and after all of these.
const MOST_SPARE: u32 = 14;
/// A command takes milliseconds, and the last one looks at all bundles.
const LIMIT: Duration = Duration::from_secs(60);

/// Does what it is told on its standard input, and says so.
const SCRIPT: &str = r#"
set -u
mkdir -p "$DISK" && mount -t tmpfs -o size=12m none "$DISK" || exit 99
"$BACKEND" serve --listen 127.0.0.1:0 --data "$DISK/backend" --ready-file "$READY" >/dev/null 2>"$LOG" </dev/null &
pid=$!
while read -r command spare; do
  case $command in
    fill)
      for block in $(seq 1 20); do dd if=/dev/zero of="$DISK/spare$block" bs=4096 count=1 2>/dev/null; done
      dd if=/dev/zero of="$DISK/filled" bs=4096 2>/dev/null
      for block in $(seq 1 "$spare"); do rm "$DISK/spare$block"; done ;;
    free) rm -f "$DISK/filled" "$DISK"/spare* ;;
    verify) kill -TERM $pid; wait $pid; "$BACKEND" verify --data "$DISK/backend"; echo "verified $?" ;;
  esac
  echo "done $command"
done
"#;

/// The small file system, and the shell that stands in its namespace.
struct Shell {
    commands: ChildStdin,
    said: Lines<BufReader<ChildStdout>>,
}

impl Shell {
    /// All that is said until the command is done.
    async fn run(&mut self, command: &str) -> Result<Vec<String>> {
        self.commands.write_all(format!("{command}\n").as_bytes()).await.context("telling the shell")?;
        let done = format!("done {}", command.split_whitespace().next().unwrap_or_default());
        let answer = async {
            let mut lines = Vec::new();
            while let Some(line) = self.said.next_line().await.context("hearing the shell")? {
                if line == done {
                    return Ok(lines);
                }
                lines.push(line);
            }
            bail!("the shell ended at `{command}` and said {lines:?}")
        };
        tokio::time::timeout(LIMIT, answer).await.with_context(|| format!("the shell hangs at `{command}`"))?
    }
}

async fn begin(stage: &Stage) -> Result<(Shell, Backend)> {
    let file = |name: &str| stage.folder().join(name);
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", SCRIPT])
        .env("BACKEND", program("netsonde-backend")?)
        .env("DISK", file("disk"));
    command.env("READY", file("full-ready.json")).env("LOG", file("full.log"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    let mut process = command.spawn().context("unshare cannot be run")?;
    let (commands, said) = (process.stdin.take().context("no input")?, process.stdout.take().context("no output")?);
    // Everything within ends with the namespace's first process, and that with this one.
    tokio::select! {
        status = process.wait() => bail!("no file system could be mounted ({})", status.context("waiting for unshare")?),
        () = tokio::time::sleep(Duration::from_millis(300)) => {}
    }
    let backend = Backend::attach(process, &file("full-ready.json")).await?;
    Ok((Shell { commands, said: BufReader::new(said).lines() }, backend))
}

pub(crate) async fn run(quick: bool) -> Result<Tally> {
    let mut tally = Tally::default();
    let stage = Stage::new()?;
    let (mut shell, backend) = match begin(&stage).await {
        Ok(begun) => begun,
        Err(error) => {
            tally.skipped.push(format!("a backend whose disk is full: {error:#}"));
            return Ok(tally);
        }
    };
    let mut world = World::with(stage, backend).await?;
    let mut refused = 0;
    for spare in (0..MOST_SPARE).step_by(if quick { 4 } else { 1 }) {
        let parcel = world.parcel().await?;
        shell.run(&format!("fill {spare}")).await?;
        let mut send = world.send(&parcel, &parcel.ticket)?;
        let ended = tokio::time::timeout(LIMIT * 2, send.wait()).await.context("netsonde hangs at a full backend")??;
        tally.faults += 1;
        let expected = if ended.success() { "sent" } else { "ready" };
        refused += u32::from(!ended.success());
        if world.places(&parcel) != [expected] {
            tally.lost.push(format!("with {spare} blocks left the bundle lies in {:?} ({ended})", world.places(&parcel)));
        }
        shell.run("free").await?;
        if !ended.success() && !end(&world, &parcel).await? {
            tally.lost.push(format!("a bundle that met a full backend ({spare} blocks) is not delivered once there is room"));
        }
        tally.acknowledged += 1;
    }
    if refused == 0 {
        tally.wanting.push("no bundle met a full disk at the backend".to_owned());
    }
    let log = std::fs::read_to_string(world.stage.folder().join("full.log")).unwrap_or_default();
    if !log.contains("storage_full") {
        tally.wanting.push("the backend never said that its disk is full".to_owned());
    }
    let said = shell.run("verify").await?;
    let expected = format!("{} bundles (", tally.acknowledged);
    if !said.iter().any(|line| line.starts_with(&expected)) || !said.iter().any(|line| line == "verified 0") {
        tally.lost.push(format!(
            "after a full disk netsonde-backend verify says {said:?}, and {} were acknowledged",
            tally.acknowledged
        ));
    }
    Ok(tally)
}
