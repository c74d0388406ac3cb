use super::scenario::Material;
use anyhow::{Context, Result, bail};
use netsonde_tests::certificates::Pki;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Writes what openssl alone can make for the server on this port into `folder`.
pub(crate) fn make(folder: &Path, pki: &Pki, port: u16, names: &[String], material: Material) -> Result<()> {
    fs::write(folder.join("root.pem"), pki.root_pem()).context("writing the root certificate")?;
    fs::write(folder.join("root.key"), pki.root_key_pem()).context("writing the root's key")?;
    let script = match material {
        Material::WeakCertificate => weak(port, names),
        Material::OldSignature => old_signature(port, names),
        Material::Revocation => statement(port, "R\\t351231235959Z\\t260101000000Z,keyCompromise"),
        Material::GoodStanding => statement(port, "V\\t351231235959Z\\t"),
    };
    let output = Command::new("sh").args(["-e", "-c", &script]).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.context("running openssl")?;
    if !output.status.success() {
        bail!("openssl: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn weak(port: u16, names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
    format!(
        "openssl req -newkey rsa:1024 -nodes -keyout weak.key -out weak.csr -subj /CN=weak
         echo subjectAltName={} > weak.ext
         openssl x509 -req -sha1 -in weak.csr -CA root.pem -CAkey root.key -CAcreateserial -days 60 -extfile weak.ext -out weak.pem
         cat weak.pem weak.key > {port}.pem",
        names.join(",")
    )
}

/// A leaf with a key that nobody objects to, signed with SHA-1 by an authority below the root whose own certificate is in order.
fn old_signature(port: u16, names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
    format!(
        "openssl req -newkey rsa:2048 -nodes -keyout oldmiddle.key -out oldmiddle.csr -subj /CN=authority
         printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n' > oldmiddle.ext
         openssl x509 -req -sha256 -in oldmiddle.csr -CA root.pem -CAkey root.key -CAcreateserial -days 60 -extfile oldmiddle.ext -out oldmiddle.pem
         openssl req -newkey rsa:2048 -nodes -keyout old.key -out old.csr -subj /CN=old
         echo subjectAltName={} > old.ext
         openssl x509 -req -sha1 -in old.csr -CA oldmiddle.pem -CAkey oldmiddle.key -CAcreateserial -days 60 -extfile old.ext -out old.pem
         cat old.pem oldmiddle.pem old.key > {port}.pem",
        names.join(",")
    )
}

/// The root's statement about the certificate, as openssl's index of an authority has it.
fn statement(port: u16, standing: &str) -> String {
    format!(
        "serial=$(openssl x509 -in {port}.pem -noout -serial | cut -d= -f2)
         printf '{standing}\\t%s\\tunknown\\t/CN=subject\\n' \"$serial\" > index.txt
         openssl ocsp -index index.txt -CA root.pem -rsigner root.pem -rkey root.key -issuer root.pem -cert {port}.pem -ndays 7 -respout {port}.ocsp"
    )
}
