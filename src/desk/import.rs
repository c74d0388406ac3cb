use crate::arguments::Format;
use crate::backend::Backend;
use crate::stop::Stop;
use crate::{table, terminal};
use netsonde_contract::api::Imported;
use netsonde_contract::bundle::{self, MAX_BYTES, key_id};
use netsonde_contract::id::CaseId;
use serde_json::json;
use std::path::{Path, PathBuf};
use tokio::io::AsyncReadExt;

/// Files of one command: what a stick brings from one place.
const MAX_FILES: usize = 1_000;

/// Hands in bundles that came by other ways. Each is verified here first; one that is refused does not keep the others out.
pub(crate) async fn import(backend: &Backend, files: &[PathBuf], case: Option<&str>, format: Format) -> Result<(), Stop> {
    let case = case.map(|case| CaseId::parse(case).ok_or_else(|| no_case(case))).transpose()?;
    if files.len() > MAX_FILES {
        return Err(Stop::usage(format!("at most {MAX_FILES} files at once")).next("import them in several goes"));
    }
    let mut imported = Vec::new();
    let mut refused = Vec::new();
    for file in files {
        match one(backend, file, case.as_ref()).await {
            Ok((done, key)) => {
                if let Format::Human = format {
                    terminal::output(&format!(
                        "{}  bundle {}  case {}  {}\n    intact, signed with the key {key}; received {}\n",
                        file.display(),
                        done.bundle.short(),
                        done.case,
                        table::state(done.state),
                        table::moment(done.received),
                    ))?;
                }
                imported.push((file, key, done));
            }
            Err(stop) => {
                terminal::say_stop(&stop);
                refused.push((file, stop));
            }
        }
    }
    if let Format::Json = format {
        let done = imported.iter().map(|(file, key, done)| json!({ "path": file, "key_id": key, "imported": done }));
        let not = refused.iter().map(|(file, stop)| json!({ "path": file, "why": stop.message, "next_step": stop.next }));
        let value = json!({ "imported": done.collect::<Vec<_>>(), "refused": not.collect::<Vec<_>>() });
        terminal::output(&Format::json(&value)?)?;
    }
    match refused.len() {
        0 => Ok(()),
        count => {
            Err(Stop::failed(format!("{count} of {} files were not imported", files.len()))
                .next("see what is said of each above"))
        }
    }
}

async fn one(backend: &Backend, file: &Path, case: Option<&CaseId>) -> Result<(Imported, String), Stop> {
    let name = file.display();
    let bytes = read(file).await?;
    let bundle = bundle::verify(&bytes).map_err(|refusal| {
        Stop::failed(format!("{name} is NOT intact: {}", terminal::harmless(&refusal.to_string())))
            .next("ask for the file again, exactly as netsonde wrote it")
    })?;
    let imported = backend.bring(&format!("importing {name}"), case, bytes).await?;
    if imported.bundle != bundle.id {
        return Err(Stop::failed(format!("importing {name}: the backend answered about another bundle"))
            .next("tell whoever runs the support backend"));
    }
    Ok((imported, key_id(&bundle.key)))
}

async fn read(file: &Path) -> Result<Vec<u8>, Stop> {
    let failed = |error: std::io::Error| {
        Stop::failed(format!("reading {} failed: {error}", file.display()))
            .next("check the name, and whether you may read the file")
    };
    let mut bytes = Vec::new();
    let limit = MAX_BYTES as u64 + 1;
    tokio::fs::File::open(file).await.map_err(failed)?.take(limit).read_to_end(&mut bytes).await.map_err(failed)?;
    if bytes.len() > MAX_BYTES {
        return Err(Stop::failed(format!("{} is larger than any bundle", file.display())).next("check that it is the right file"));
    }
    Ok(bytes)
}

fn no_case(case: &str) -> Stop {
    Stop::usage(format!("`{}` is no case's number", terminal::harmless(case)))
        .next("use letters, digits, `-`, `_` and `.`, 64 at most")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_backend;

    #[tokio::test]
    async fn a_file_that_is_no_bundle_is_refused_before_anything_is_sent_and_the_others_are_tried() {
        let folder = tempfile::tempdir().unwrap();
        let wrong = folder.path().join("wrong.tar.gz");
        std::fs::write(&wrong, "no bundle").unwrap();
        let missing = folder.path().join("missing.tar.gz");
        let (backend, _) = test_backend::start(test_backend::Kept::default()).await;
        let stop = import(&backend, &[wrong, missing], Some("4711"), Format::Json).await.err().unwrap();
        assert!(stop.message.starts_with("2 of 2 files"), "{stop:?}");
        let stop = import(&backend, &[], Some("../x"), Format::Json).await.err().unwrap();
        assert_eq!(stop.exit, crate::stop::USAGE);
    }
}
