use super::read;
use netsonde_contract::observation::Machine;
use std::path::Path;

/// Names only: the serial numbers beside them are left alone.
const VENDOR: &str = "/sys/class/dmi/id/sys_vendor";
const PRODUCT: &str = "/sys/class/dmi/id/product_name";
const PROCESSORS: &str = "/proc/cpuinfo";
const CONTROL_GROUPS: &str = "/proc/1/cgroup";
/// systemd writes the container's kind here (systemd-detect-virt(1)).
const CONTAINER: &str = "/run/systemd/container";
const MARKS: [(&str, &str); 2] = [("/.dockerenv", "docker"), ("/run/.containerenv", "podman")];
const KUBERNETES: &str = "KUBERNETES_SERVICE_HOST";

/// Names longer than this are no product names.
const MAX_NAME: usize = 60;

/// What vendors write of their clouds' machines.
const CLOUDS: [(&str, &str, &str); 8] = [
    ("Microsoft Corporation", "Virtual Machine", "azure"),
    ("Amazon EC2", "", "aws"),
    ("Google", "Google Compute Engine", "google"),
    ("Alibaba Cloud", "", "alibaba"),
    ("DigitalOcean", "", "digitalocean"),
    ("Hetzner", "", "hetzner"),
    ("OracleCloud", "", "oracle"),
    ("OpenStack Foundation", "", "openstack"),
];

/// What kind of machine this is; nothing where nothing tells. Blocks on files.
pub(super) fn read() -> Option<Machine> {
    let name = |path: &str| read::text(path).ok().map(|text| text.trim().chars().take(MAX_NAME).collect::<String>());
    let (vendor, product) = (name(VENDOR).filter(|name| !name.is_empty()), name(PRODUCT).filter(|name| !name.is_empty()));
    #[cfg(windows)]
    let (vendor, product) = {
        let found = crate::platform::firmware::read();
        (found.vendor.or(vendor), found.product.or(product))
    };
    let found = Machine {
        cloud: vendor.as_deref().and_then(|vendor| cloud(vendor, product.as_deref().unwrap_or_default())),
        vendor,
        product,
        hypervisor: read::text(PROCESSORS).ok().and_then(|text| hypervisor(&text)),
        container: container(),
    };
    (found != Machine::default()).then_some(found)
}

/// Hyper-V on somebody's own server has the same names as Azure: the cloud's name is what they most often mean.
fn cloud(vendor: &str, product: &str) -> Option<String> {
    let fits = |(of_vendor, of_product, _): &&(&str, &str, &str)| vendor == *of_vendor && product.starts_with(of_product);
    CLOUDS.iter().find(fits).map(|(_, _, name)| (*name).to_owned())
}

/// The flag that every hypervisor sets for its guests; other architectures than x86 have none.
pub(super) fn hypervisor(text: &str) -> Option<bool> {
    let flags = text.lines().find_map(|line| line.strip_prefix("flags"))?;
    Some(flags.split_whitespace().any(|flag| flag == "hypervisor"))
}

/// What kind of container this is; none where no mark of one is. Blocks on files.
pub(super) fn container() -> Option<String> {
    if std::env::var_os(KUBERNETES).is_some() {
        return Some("kubernetes".to_owned());
    }
    if let Ok(kind) = read::text(CONTAINER) {
        return Some(kind.trim().chars().take(MAX_NAME).collect());
    }
    let marked = MARKS.iter().find(|(path, _)| Path::new(path).exists()).map(|(_, name)| (*name).to_owned());
    let by_group = || read::text(CONTROL_GROUPS).ok().and_then(|text| container_by_name(&text));
    marked.or_else(by_group)
}

pub(super) fn container_by_name(text: &str) -> Option<String> {
    ["kubepods", "docker", "libpod", "lxc", "containerd"].iter().find(|name| text.contains(**name)).map(|name| (*name).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cloud_is_known_by_vendor_and_product() {
        assert_eq!(cloud("Microsoft Corporation", "Virtual Machine").as_deref(), Some("azure"));
        assert_eq!(cloud("Microsoft Corporation", "Surface Laptop"), None);
        assert_eq!(cloud("Amazon EC2", "m5.large").as_deref(), Some("aws"));
    }

    #[test]
    fn guests_and_containers_show_their_marks() {
        assert_eq!(hypervisor("model\nflags\t\t: fpu hypervisor lahf_lm\n"), Some(true));
        assert_eq!((hypervisor("flags : fpu\n"), hypervisor("Features : fp\n")), (Some(false), None));
        assert_eq!(container_by_name("0::/kubepods/burstable/pod1\n").as_deref(), Some("kubepods"));
    }
}
