//! The programs of Debian, each with the least that makes it serve.

use super::world::World;

pub(super) fn sshd(more: &str) -> Option<World> {
    let mut world = World::with(&["/usr/sbin/sshd"])?;
    world.shell("ssh-keygen -q -t ed25519 -N '' -f host_key; mkdir -p /run/sshd");
    let config =
        world.write("config", &format!("ListenAddress 127.0.0.1\nHostKey {}\nPidFile none\n{more}\n", world.path("host_key")));
    world.serve(&format!("exec /usr/sbin/sshd -D -e -p 2222 -f {config}"), 2222);
    Some(world)
}

pub(super) fn vsftpd(more: &str) -> Option<World> {
    let mut world = World::with(&["/usr/sbin/vsftpd"])?;
    world.certificate();
    world.shell("mkdir -p empty");
    let text = format!(
        "listen=YES\nlisten_address=127.0.0.1\nlisten_port=2121\nbackground=NO\nanonymous_enable=NO\nlocal_enable=YES\nsecure_chroot_dir={}\nssl_enable=YES\nrsa_cert_file={}\nrsa_private_key_file={}\nseccomp_sandbox=NO\n{more}\n",
        world.path("empty"),
        world.path("leaf.pem"),
        world.path("key.pem")
    );
    let config = world.write("config", &text);
    world.serve(&format!("exec /usr/sbin/vsftpd {config}"), 2121);
    Some(world)
}

/// Postfix wants folders of its own, and its files below them owned by its users.
pub(super) fn postfix(more: &str) -> Option<World> {
    let mut world = World::with(&["/usr/sbin/postfix"])?;
    world.certificate();
    let config = world.path("etc");
    world.shell("mkdir -p etc queue data; chown postfix data; chmod 755 queue");
    let text = format!(
        "compatibility_level = 3.6\nqueue_directory = {}\ndata_directory = {}\nmyhostname = mx.test\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nmaillog_file = /dev/stdout\nsmtpd_tls_security_level = may\nsmtpd_tls_cert_file = {}\nsmtpd_tls_key_file = {}\nmynetworks = 127.0.0.0/8\nsmtpd_peername_lookup = no\n{more}\n",
        world.path("queue"),
        world.path("data"),
        world.path("leaf.pem"),
        world.path("key.pem")
    );
    world.write("etc/main.cf", &text);
    world.write("etc/master.cf", "2525 inet n - n - - smtpd\n465 inet n - n - - smtpd -o smtpd_tls_wrappermode=yes\nrewrite unix - - n - - trivial-rewrite\nanvil unix - - n - 1 anvil\ntlsmgr unix - - n 1000? 1 tlsmgr\nproxymap unix - - n - - proxymap\npostlog unix-dgram n - n - 1 postlogd\n");
    world.serve(&format!("exec /usr/sbin/postfix -c {config} start-fg"), 2525);
    Some(world)
}

pub(super) fn dovecot() -> Option<World> {
    let mut world = World::with(&["/usr/sbin/dovecot"])?;
    world.certificate();
    let text = format!(
        "protocols = imap\nbase_dir = {}\nlisten = 127.0.0.1\nlog_path = /dev/stderr\nssl = yes\nssl_cert = <{}\nssl_key = <{}\nservice imap-login {{\n  chroot =\n  inet_listener imap {{\n    port = 1143\n  }}\n  inet_listener imaps {{\n    port = 0\n  }}\n}}\npassdb {{\n  driver = static\n  args = nopassword=no\n}}\nuserdb {{\n  driver = static\n  args = uid=65534 gid=65534 home=/\n}}\n",
        world.path("run"),
        world.path("leaf.pem"),
        world.path("key.pem")
    );
    let config = world.write("config", &text);
    world.serve(&format!("exec /usr/sbin/dovecot -F -c {config}"), 1143);
    Some(world)
}

pub(super) fn slapd(more: &str) -> Option<World> {
    let mut world = World::with(&["/usr/sbin/slapd"])?;
    world.certificate();
    let text = format!(
        "include /etc/ldap/schema/core.schema\npidfile {}\nTLSCertificateFile {}\nTLSCertificateKeyFile {}\n{more}\ndatabase null\nsuffix \"dc=test\"\n",
        world.path("pid"),
        world.path("leaf.pem"),
        world.path("key.pem")
    );
    let text = format!("modulepath /usr/lib/ldap\nmoduleload back_null\n{text}");
    let config = world.write("config", &text);
    world.serve(&format!("exec /usr/sbin/slapd -d 0 -f {config} -h ldap://127.0.0.1:3890"), 3890);
    Some(world)
}

pub(super) fn smbd() -> Option<World> {
    let mut world = World::with(&["/usr/sbin/smbd"])?;
    world.shell("mkdir -p var");
    let var = world.path("var");
    let text = format!(
        "[global]\nlock directory = {var}\nstate directory = {var}\ncache directory = {var}\nprivate dir = {var}\npid directory = {var}\nncalrpc dir = {var}/rpc\nbind interfaces only = yes\ninterfaces = 127.0.0.1/8\nsmb ports = 4450\nlog file = {var}/log\nserver min protocol = SMB2\nserver signing = mandatory\nload printers = no\ndisable spoolss = yes\n"
    );
    let config = world.write("config", &text);
    world.serve(&format!("exec /usr/sbin/smbd --foreground --no-process-group --debug-stdout -s {config}"), 4450);
    Some(world)
}

/// Where rpcbind keeps its socket and lock; the mount is the process's own.
const RPCBIND_FOLDER: &str = "mount -t tmpfs none /run; mkdir -p /run/rpcbind; chown _rpc /run/rpcbind";

/// rpcbind keeps its socket and lock below /run, which is therefore the world's own.
pub(super) fn rpcbind() -> Option<World> {
    let mut world = World::with(&["/usr/sbin/rpcbind"])?;
    world.serve(&format!("{RPCBIND_FOLDER}; exec /usr/sbin/rpcbind -f"), 111);
    Some(world)
}

pub(super) fn redis(more: &str) -> Option<World> {
    let mut world = World::with(&["/usr/bin/redis-server"])?;
    world.serve(&format!("exec /usr/bin/redis-server --port 6390 --save '' --daemonize no {more}"), 6390);
    Some(world)
}

/// The database wants a user other than root.
pub(super) fn postgres(tls: bool) -> Option<World> {
    let folder = std::fs::read_dir("/usr/lib/postgresql")
        .ok()
        .and_then(|entries| entries.filter_map(Result::ok).map(|entry| entry.path()).max());
    let program =
        folder.map_or("/usr/lib/postgresql/bin/postgres".to_owned(), |folder| format!("{}/bin/postgres", folder.display()));
    let mut world = World::with(&[&program])?;
    world.certificate();
    let bin = program.trim_end_matches("/postgres").to_owned();
    world.shell(&format!(
        "mkdir -p data run; chown postgres data run key.pem; setpriv --reuid postgres --regid postgres --clear-groups {bin}/initdb -D data -A trust >/dev/null"
    ));
    let (ssl, run) = (if tls { "on" } else { "off" }, world.path("run"));
    let files = format!("-c ssl_cert_file={} -c ssl_key_file={}", world.path("leaf.pem"), world.path("key.pem"));
    let line = format!(
        "exec setpriv --reuid postgres --regid postgres --clear-groups {program} -D {} -p 5433 -h 127.0.0.1 -k {run} -c ssl={ssl} {files}",
        world.path("data")
    );
    world.serve(&line, 5433);
    Some(world)
}

/// A database that holds nothing needs little.
const SMALL: &str = "--innodb-buffer-pool-size=8M --innodb-log-file-size=4M";

pub(super) fn mariadb(more: &str) -> Option<World> {
    let mut world = World::with(&["/usr/sbin/mariadbd"])?;
    world.certificate();
    // Servers that are set up at the same time trip over each other's tables in a shared temporary folder.
    world.shell(&format!("mkdir -p data tmp; chown mysql data tmp . key.pem; mariadb-install-db --no-defaults --user=mysql --datadir=$PWD/data --tmpdir=$PWD/tmp --skip-test-db --auth-root-authentication-method=normal {SMALL} >/dev/null"));
    let line = format!(
        "exec /usr/sbin/mariadbd --no-defaults {SMALL} --user=mysql --tmpdir={} --datadir={} --socket={} --pid-file={} --port=3307 --bind-address=127.0.0.1 --ssl-cert={} --ssl-key={} --ssl-ca={} {more}",
        world.path("tmp"),
        world.path("data"),
        world.path("socket"),
        world.path("pid"),
        world.path("leaf.pem"),
        world.path("key.pem"),
        world.path("ca.pem")
    );
    world.serve(&line, 3307);
    Some(world)
}

pub(super) fn xrdp() -> Option<World> {
    let mut world = World::with(&["/usr/sbin/xrdp"])?;
    world.certificate();
    let text = format!(
        "[Globals]\nini_version=1\nfork=true\nport=tcp://127.0.0.1:3390\nsecurity_layer=negotiate\ncrypt_level=high\ncertificate={}\nkey_file={}\nssl_protocols=TLSv1.2, TLSv1.3\n[Logging]\nLogFile={}\nLogLevel=INFO\nEnableSyslog=false\n[Channels]\n[Xorg]\nname=Xorg\nlib=libxup.so\nusername=ask\npassword=ask\nport=-1\n",
        world.path("leaf.pem"),
        world.path("key.pem"),
        world.path("log")
    );
    let config = world.write("config.ini", &text);
    world.serve(&format!("mount -t tmpfs none /run; mkdir -p /run/xrdp; exec /usr/sbin/xrdp --nodaemon --config {config}"), 3390);
    Some(world)
}

/// strongSwan's daemon alone, without kernel policies and without the starter.
pub(super) fn charon() -> Option<World> {
    let mut world = World::with(&["/usr/lib/ipsec/charon"])?;
    world.write("strongswan.conf", "charon {\n  install_routes = no\n  port = 500\n  port_nat_t = 4500\n  filelog {\n    stdout {\n      default = 1\n    }\n  }\n  plugins {\n    include /etc/strongswan.d/charon/*.conf\n  }\n}\n");
    let config = world.path("strongswan.conf");
    world.serve(&format!("mount -t tmpfs none /run; exec env STRONGSWAN_CONF={config} /usr/lib/ipsec/charon --use-syslog"), 500);
    Some(world)
}

/// A second namespace on a cable, in which the server gives addresses; the client has one already, for its route.
pub(super) fn dnsmasq() -> Option<(World, World)> {
    let client = World::with(&["/usr/sbin/dnsmasq"])?;
    let mut server = World::with(&["/usr/sbin/dnsmasq"])?;
    client.shell(&format!(
        "ip -n {c} link add c0 type veth peer name s0 netns {s}
         ip -n {c} addr add 10.89.0.2/24 dev c0; ip -n {s} addr add 10.89.0.1/24 dev s0
         ip -n {c} link set c0 up; ip -n {s} link set s0 up; ip -n {c} route add default via 10.89.0.1",
        c = client.name,
        s = server.name
    ));
    let lease = server.path("leases");
    server.serve(
        &format!("exec /usr/sbin/dnsmasq --no-daemon --conf-file=/dev/null --port=0 --interface=s0 --bind-interfaces --dhcp-range=10.89.0.50,10.89.0.60,1h --dhcp-leasefile={lease} --user=root --no-ping --domain=lab.test"),
        67,
    );
    Some((client, server))
}

/// NFS-Ganesha, a server outside the kernel, with one folder in memory; it registers with an rpcbind beside it.
pub(super) fn ganesha() -> Option<World> {
    let mut world = World::with(&["/usr/bin/ganesha.nfsd", "/usr/sbin/rpcbind"])?;
    world.shell("mkdir -p recovery");
    let text = format!(
        "NFS_CORE_PARAM {{ Protocols = 3, 4; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; }}\nNFSv4 {{ Graceless = true; RecoveryBackend = fs; RecoveryRoot = {}; Only_Numeric_Owners = true; }}\nEXPORT {{ Export_Id = 1; Path = /export; Pseudo = /export; Access_Type = RO; Protocols = 3, 4; SecType = sys; FSAL {{ Name = MEM; }} }}\n",
        world.path("recovery")
    );
    let config = world.write("ganesha.conf", &text);
    let (log, pid) = (world.path("log"), world.path("pid"));
    // It gives up where it finds no rpcbind to register with.
    let wait = "until [ -S /run/rpcbind.sock ]; do sleep 0.05; done";
    world.serve(
        &format!("{RPCBIND_FOLDER}; /usr/sbin/rpcbind -f & {wait}; exec /usr/bin/ganesha.nfsd -F -L {log} -f {config} -p {pid}"),
        2049,
    );
    Some(world)
}
