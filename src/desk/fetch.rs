use crate::arguments::Format;
use crate::backend::Backend;
use crate::stop::Stop;
use crate::{table, terminal};
use netsonde_contract::api::{CaseDetail, path};
use netsonde_contract::bundle::{self, Bundle, key_id};
use netsonde_contract::id::BundleId;
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Downloads a bundle, verifies it, and only then writes it.
pub(crate) async fn fetch(backend: &Backend, id: &str, out: Option<&Path>, format: Format) -> Result<(), Stop> {
    let id = BundleId::parse(id).ok_or_else(|| {
        Stop::usage(format!("`{}` is no bundle's id", terminal::harmless(id)))
            .next("copy the 64 digits that `netsonde-desk show CASE` lists")
    })?;
    let path = out.map_or_else(|| PathBuf::from(format!("netsonde-{}.tar.gz", id.short())), Path::to_owned);
    let bytes = backend.bundle(&id).await?;
    let bundle = intact(&id, &bytes)?;
    let known = known(backend, &bundle).await;
    write(&path, &bytes)?;
    match format {
        Format::Json => terminal::output(&Format::json(&json!({
            "id": id,
            "path": path,
            "size_bytes": bytes.len(),
            "intact": true,
            "known": known,
            "key_id": key_id(&bundle.key),
            "case": bundle.predicate.case,
            "withheld": bundle.withheld,
        }))?),
        Format::Human => {
            let mut text = format!("{}  {}\n", path.display(), table::size(bytes.len() as u64));
            text += &format!("intact: every file is as it was signed with the key {}\n", key_id(&bundle.key));
            text += match known {
                Some(true) => "known: the backend knows the key as that of the ticket or agent that it was sent by\n",
                Some(false) => "NOT known: the backend does not know whose key that is\n",
                None => "not known whether the key is: the backend lists this bundle under no case that it names\n",
            };
            if !bundle.withheld.is_empty() {
                text += &format!("withheld by the sender: {}\n", bundle.withheld.join(", "));
            }
            terminal::output(&text)
        }
    }
}

/// The bundle, once it verifies here and is the one that was asked for.
pub(crate) fn intact(id: &BundleId, bytes: &[u8]) -> Result<Bundle, Stop> {
    let next = "do not rely on it: tell whoever runs the support backend, and ask the customer for the file";
    let bundle = bundle::verify(bytes).map_err(|refusal| {
        Stop::failed(format!("bundle {} is NOT intact: {}", id.short(), terminal::harmless(&refusal.to_string()))).next(next)
    })?;
    if bundle.id != *id {
        return Err(
            Stop::failed(format!("the backend answered with another bundle than {}: {}", id.short(), bundle.id)).next(next)
        );
    }
    Ok(bundle)
}

/// Whether the backend knows the bundle's key; none where it does not list the bundle under the case that the bundle names.
async fn known(backend: &Backend, bundle: &Bundle) -> Option<bool> {
    // The case's name comes from the bundle, and goes into a path.
    let case = netsonde_contract::id::CaseId::parse(bundle.predicate.case.as_ref()?.as_str())?;
    let detail: CaseDetail = backend.get("asking whose key it is", &path::case(&case)).await.ok()?;
    detail.bundles.iter().find(|listed| listed.id == bundle.id).map(|listed| listed.known)
}

/// Writes a new file; one that is there already is never replaced.
fn write(path: &Path, bytes: &[u8]) -> Result<(), Stop> {
    let failed = |error: std::io::Error| {
        let next = match error.kind() {
            std::io::ErrorKind::AlreadyExists => "give another name with --out, or remove that file",
            _ => "give a file in a folder where you may write with --out",
        };
        Stop::failed(format!("writing {} failed: {error}", path.display())).next(next)
    };
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    // A customer's addresses are in it.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|error| {
        // Half a bundle helps nobody; where it cannot be removed either, the first error says enough.
        let _ = std::fs::remove_file(path);
        failed(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_there_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tar.gz");
        write(&path, b"first").unwrap();
        let stop = write(&path, b"second").err().unwrap();
        assert!(stop.next.unwrap().contains("--out"));
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn what_does_not_verify_is_said_not_to_be_intact() {
        let stop = intact(&BundleId::new("ab".repeat(32)), b"no bundle").err().unwrap();
        assert!(stop.message.contains("NOT intact") && stop.message.contains("bundle_not_gzip"), "{stop:?}");
    }
}
