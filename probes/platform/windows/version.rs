use super::registry::Key;
use crate::platform::firmware::Firmware;

const CURRENT: &str = r"SOFTWARE\Microsoft\Windows NT\CurrentVersion";
const BIOS: &str = r"HARDWARE\DESCRIPTION\System\BIOS";
/// From this build on a workstation is a Windows 11, which still calls itself Windows 10 there.
const FIRST_BUILD_OF_11: u32 = 22_000;

/// Such as `Windows 11 Pro 23H2`.
pub(crate) fn os_release() -> Option<String> {
    let key = Key::open(CURRENT)?;
    let product = key.text("ProductName")?;
    let is_11 = build(&key).is_some_and(|build| build >= FIRST_BUILD_OF_11);
    let product = if is_11 { product.replacen("Windows 10", "Windows 11", 1) } else { product };
    let version = key.text("DisplayVersion").or_else(|| key.text("ReleaseId"));
    Some(version.map_or_else(|| product.clone(), |version| format!("{product} {version}")))
}

/// Such as `Windows NT 10.0.22631.3007`.
pub(crate) fn kernel() -> Option<String> {
    let key = Key::open(CURRENT)?;
    let of_old = || key.text("CurrentVersion");
    let version = match (key.number("CurrentMajorVersionNumber"), key.number("CurrentMinorVersionNumber")) {
        (Some(major), Some(minor)) => format!("{major}.{minor}"),
        _ => of_old()?,
    };
    let revision = key.number("UBR").map(|revision| format!(".{revision}")).unwrap_or_default();
    Some(format!("Windows NT {version}.{}{revision}", build(&key)?))
}

fn build(key: &Key) -> Option<u32> {
    key.text("CurrentBuildNumber")?.parse().ok()
}

/// Vendor and product of the machine. The system keeps the chassis' tag out of the registry.
pub(crate) fn firmware() -> Firmware {
    let key = Key::open(BIOS);
    let text = |name: &str| key.as_ref().and_then(|key| key.text(name));
    Firmware { vendor: text("SystemManufacturer"), product: text("SystemProductName"), chassis_tag: None }
}
