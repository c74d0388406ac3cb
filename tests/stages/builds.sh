# What the stages for other platforms compile, each by the command that its own stage runs as well: sourced, never run.
windows=x86_64-pc-windows-gnu
musl=x86_64-unknown-linux-musl
arm=aarch64-unknown-linux-gnu
macos=aarch64-apple-darwin

# A folder of its own: who builds into the one of this machine's programs keeps every other cargo from using them.
others=$(realpath -m "${CARGO_TARGET_DIR:-target}")/others

for_others() { CARGO_TARGET_DIR=$others packaging/cross/cargo "$@"; }

# Clippy looks at the code for Windows, which it does not see on this machine.
build_windows() {
  NETSONDE_CROSS_LINT=1 for_others $windows build --quiet --package netsonde-agent --package netsonde-extension --package netsonde-desk
}

build_static() { for_others $musl build --quiet --package netsonde-agent; }

build_arm() { for_others $arm build --quiet --package netsonde-agent; }

# Both of them, side by side.
build_static_and_arm() { for_others $musl,$arm build --quiet --package netsonde-agent; }

check_macos() { NETSONDE_CROSS_RUSTFLAGS="-D warnings" for_others $macos check --quiet --package netsonde-agent; }
