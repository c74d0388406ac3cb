//! The real agent on a disk that is full, and on one that is read-only: a small file system in memory, in a mount namespace of its own.

use crate::kills::judge;
use crate::tally::Tally;
use crate::world::{Parcel, World};
use anyhow::{Context, Result};
use netsonde_tests::programs::program;
use std::process::Stdio;
use tokio::process::Command;

/// One bundle is kept; then the disk is full, then read-only, and a second run meets both; then there is room again, and both are delivered. What the
/// bundles are is copied out, since the file system goes with the namespace.
const SCRIPT: &str = r#"
set -u
mount -t tmpfs -o size=4m none "$DISK" || exit 99
run() { "$NETSONDE" run --ticket "$1" --yes --no-upload --keep --state-dir "$DISK/state" >/dev/null 2>&1; }
send() { "$NETSONDE" spool retry "$1" --ticket "$2" --yes --keep --state-dir "$DISK/state" >/dev/null 2>&1; }
ready() { ls "$DISK/state/spool/ready"; }
run "$FIRST"
first=$(ready)
dd if=/dev/zero of="$DISK/filled" bs=512 >/dev/null 2>&1
run "$SECOND"; echo "full $?"
[ "$(ready)" = "$first" ] || echo "wrong: a full disk changed what was kept"
mount -o remount,ro "$DISK" || echo "wrong: the disk was not made read-only"
( : >"$DISK/written" ) 2>/dev/null && echo "wrong: what is to be a read-only disk takes a file"
said=$("$NETSONDE" run --ticket "$SECOND" --yes --no-upload --keep --state-dir "$DISK/state" 2>&1 >/dev/null)
case $said in *"nothing is kept on this machine"*) ;; *) echo "wrong: on a read-only disk a run does not say that it keeps nothing, but: $said" ;; esac
[ "$(ready)" = "$first" ] || echo "wrong: a read-only disk changed what was kept"
mount -o remount,rw "$DISK"
rm "$DISK/filled"
send "$first" "$FIRST" || echo "wrong: the first bundle was not sent"
run "$SECOND"
second=$(ready)
send "$second" "$SECOND" || echo "wrong: the second bundle was not sent"
mkdir -p "$OUT/one/spool" "$OUT/two/spool"
cp -r "$DISK/state/spool/sent" "$OUT/one/spool/" && cp -r "$DISK/state/spool/sent" "$OUT/two/spool/"
echo "bundle $first"
echo "bundle $second"
"#;

pub(crate) async fn run() -> Result<Tally> {
    let mut tally = Tally::default();
    let mut world = World::new().await?;
    let ((first, _), (second, _)) = (world.ticket().await?, world.ticket().await?);
    let folder = |name: &str| world.stage.folder().join(name);
    std::fs::create_dir_all(folder("disk")).context("making a folder")?;
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", SCRIPT]).env("NETSONDE", program("netsonde")?).env("HOME", world.stage.folder());
    command.env("FIRST", &first).env("SECOND", &second).env("DISK", folder("disk")).env("OUT", folder("out"));
    let output = match command.stdin(Stdio::null()).kill_on_drop(true).output().await {
        Ok(output) if output.status.success() => output,
        Ok(output) => {
            tally.skipped.push(format!("full and read-only disks: no file system could be mounted ({})", output.status));
            return Ok(tally);
        }
        Err(error) => {
            tally.skipped.push(format!("full and read-only disks: unshare cannot be run: {error}"));
            return Ok(tally);
        }
    };
    tally.faults += 2;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    tally.lost.extend(text.lines().filter(|line| line.starts_with("wrong")).map(str::to_owned));
    if !text.lines().any(|line| line.strip_prefix("full ").is_some_and(|code| code != "0")) {
        tally.lost.push("a run whose bundle did not fit the disk says that all went well".to_owned());
    }
    let ids: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("bundle ")).collect();
    let mut delivered = Vec::new();
    for ((id, ticket), name) in ids.iter().zip([first.clone(), second.clone()]).zip(["out/one", "out/two"]) {
        let sent = folder(name).join("spool/sent").join(id);
        let file = sent.read_dir().into_iter().flatten().flatten().map(|file| file.path());
        let file = file.into_iter().find(|path| path.to_string_lossy().ends_with(".tar.gz"));
        let bytes = file.and_then(|file| std::fs::read(file).ok());
        match bytes {
            Some(bytes) => delivered.push(Parcel { ticket, state: folder(name), id: (*id).to_owned(), bytes }),
            None => tally.lost.push(format!("bundle {id} is not among the delivered ones after a full disk: {text}")),
        }
    }
    tally.acknowledged += delivered.len() as u64;
    judge(&mut world, &delivered, &mut tally).await?;
    Ok(tally)
}
