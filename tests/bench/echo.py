#!/usr/bin/env python3
"""Compares netsonde's echo series and sweeps with ping and fping, in network namespaces that no packet leaves.

    cargo build --release -p netsonde-agent
    sudo python3 tests/bench/echo.py [--netsonde target/release/netsonde] [--count 1000] [--targets 10000] [--json FILE]

Needs root, iproute2, tcpdump and ping; fping and tc's netem are used where they are there. Two namespaces are joined by a veth pair.

RTT error: each tool sends its series while tcpdump captures requests as they come in at the far end of the veth pair and replies as
they come in at the near end. The kernel stamps both by one clock, and between the ends there is nothing: the time from the one to the
other is the wire's own. What a tool reports minus that is its error. Once with the
machine as it is, once with every processor kept busy, once over a path of 10 ms, and once with both.

A full run takes three to five minutes, most of them the series at 10 ms a request; what is being measured is said on stderr as it begins.

Sweep: every address of 10.99.0.0/16 is local to the far end. Each tool asks the first so many of them once.
"""

import argparse
import json
import os
import re
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import time

NEAR, FAR = f"nsb{os.getpid()}a", f"nsb{os.getpid()}b"
NEAR_ADDRESS, FAR_ADDRESS = "10.98.0.1", "10.98.0.2"
INTERFACE = "near0"
# Everything that a run starts ends after this at the latest.
LIMIT_S = 120


def progress(what):
    """Says what takes its time now: stdout has the tables alone."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def run(*command, check=True, **options):
    return subprocess.run(command, check=check, capture_output=True, text=True, timeout=LIMIT_S, **options)


def inside(*command):
    return ["ip", "netns", "exec", NEAR, *command]


def build_network():
    for name in (NEAR, FAR):
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")
    run("ip", "-n", NEAR, "link", "add", INTERFACE, "type", "veth", "peer", "name", "far0", "netns", FAR)
    for name, interface, address in ((NEAR, INTERFACE, NEAR_ADDRESS), (FAR, "far0", FAR_ADDRESS)):
        run("ip", "-n", name, "address", "add", f"{address}/24", "dev", interface)
        run("ip", "-n", name, "link", "set", interface, "up")
    run("ip", "-n", FAR, "route", "add", "local", "10.99.0.0/16", "dev", "lo")
    run("ip", "-n", NEAR, "route", "add", "10.99.0.0/16", "via", FAR_ADDRESS)
    run(*inside("ping", "-c", "2", "-i", "0.2", FAR_ADDRESS))


def remove_network():
    # Whoever asks again while it ends leaves nothing behind either.
    for asked in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(asked, signal.SIG_IGN)
    for name in (NEAR, FAR):
        run("ip", "netns", "delete", name, check=False)


def set_delay(milliseconds):
    """Delays replies at the far end; says whether the kernel can."""
    run("tc", "-n", FAR, "qdisc", "del", "dev", "far0", "root", check=False)
    if milliseconds == 0:
        return True
    made = run("tc", "-n", FAR, "qdisc", "add", "dev", "far0", "root", "netem", "delay", f"{milliseconds}ms", check=False)
    return made.returncode == 0


class Capture:
    """The packets at both ends of the wire, each as it comes in: there the kernel stamps before anything else is done."""

    ENDS = {"requests": (FAR, "far0", "icmp[0] == 8"), "replies": (NEAR, INTERFACE, "icmp[0] == 0")}

    def __init__(self, folder):
        self.paths = {end: os.path.join(folder, end) for end in self.ENDS}

    def __enter__(self):
        self.processes = []
        for end, (name, interface, wanted) in self.ENDS.items():
            command = ["tcpdump", "-i", interface, "-n", "-s", "96", "-B", "8192", "-Q", "in", "-w", self.paths[end]]
            command = ["ip", "netns", "exec", name, *command, "--time-stamp-precision", "nano", wanted]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            # It says that it listens once it does.
            process.stderr.readline()
            self.processes.append(process)
        return self

    def __exit__(self, *_):
        # The kernel hands packets over in blocks, one a second at the latest.
        time.sleep(1.5)
        for process in self.processes:
            process.send_signal(signal.SIGINT)
        for process in self.processes:
            process.wait(timeout=10)

    def rtts_us(self):
        """By sequence number: from each request to its first reply."""
        requests, replies = self.stamps("requests"), self.stamps("replies")
        return {sequence: (came - requests[sequence]) / 1000 for sequence, came in replies.items() if sequence in requests}

    def stamps(self, end):
        with open(self.paths[end], "rb") as file:
            data = file.read()
        if struct.unpack_from("<I", data)[0] != 0xA1B23C4D:
            sys.exit("tcpdump wrote no little-endian capture with nanoseconds")
        at, stamps = 24, {}
        while at + 16 <= len(data):
            seconds, nanoseconds, length, _ = struct.unpack_from("<IIII", data, at)
            packet = data[at + 16 + 14 : at + 16 + length]
            at += 16 + length
            sequence = struct.unpack_from(">H", packet, (packet[0] & 15) * 4 + 6)[0]
            stamps.setdefault(sequence, seconds * 1_000_000_000 + nanoseconds)
        return stamps


class Busy:
    """Keeps every processor busy, for a bounded time."""

    def __init__(self, wanted):
        self.wanted = wanted

    def __enter__(self):
        loop = f"import time; end = time.time() + {LIMIT_S}\nwhile time.time() < end: pass"
        count = os.cpu_count() if self.wanted else 0
        self.processes = [subprocess.Popen([sys.executable, "-c", loop]) for _ in range(count)]

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()


def by_netsonde(netsonde, engine):
    def measure(count):
        command = [netsonde, "probe", "icmp", FAR_ADDRESS, "--count", str(count), "--interval-ms", "10"]
        output = run(*inside(*command, "--engine", engine, "--format", "json"), check=False).stdout
        echo = json.loads(output)["outcomes"][0]["observations"][0]
        return {reply["sequence"]: reply["rtt_us"] for reply in echo["replies"]}, echo["clock"]

    return measure


def by_ping(count):
    output = run(*inside("ping", "-n", "-c", str(count), "-i", "0.01", FAR_ADDRESS), check=False).stdout
    found = re.findall(r"icmp_seq=(\d+) ttl=\d+ time=([\d.]+) ms", output)
    return {int(sequence): float(milliseconds) * 1000 for sequence, milliseconds in found}, "kernel_rx"


def by_fping(count):
    output = run(*inside("fping", "-D", "-c", str(count), "-p", "10", FAR_ADDRESS), check=False).stdout
    found = re.findall(r"\[(\d+)\], \d+ bytes, ([\d.]+) ms", output)
    return {int(sequence): float(milliseconds) * 1000 for sequence, milliseconds in found}, "kernel_rx"


def rank(values, percent):
    values = sorted(values)
    return values[max(0, -(-len(values) * percent // 100) - 1)]


def rtt_errors(tools, count, folder):
    rows = []
    for delay_ms in (0, 10):
        if not set_delay(delay_ms):
            print("this kernel has no netem: no path of 10 ms", file=sys.stderr)
            continue
        for busy in (False, True):
            for name, measure in tools.items():
                progress(f"{name}: {count} requests, path of {delay_ms} ms, processors {'busy' if busy else 'as they are'}")
                with Busy(busy):
                    with Capture(folder) as capture:
                        reported, clock = measure(count)
                wire = capture.rtts_us()
                errors = [rtt - wire[sequence] for sequence, rtt in reported.items() if sequence in wire]
                if not errors:
                    print(f"{name}: nothing was measured", file=sys.stderr)
                    continue
                rows.append({
                    "path": f"{delay_ms} ms" if delay_ms else "veth", "busy": busy, "tool": name, "clock": clock, "n": len(errors),
                    "wire_median_us": round(statistics.median(wire.values()), 1),
                    "median_us": round(statistics.median(errors), 1), "p99_us": round(rank(errors, 99), 1),
                    "absolute_p99_us": round(rank([abs(error) for error in errors], 99), 1),
                    "worst_us": round(max(errors, key=abs), 1),
                })
    set_delay(0)
    return rows


def timed(command):
    """Wall and processor time, and what was printed."""
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(inside(*command), stdout=output, stderr=subprocess.STDOUT)
        _, _, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        output.seek(0)
        text = output.read().decode(errors="replace")
    return round(wall * 1000), round((usage.ru_utime + usage.ru_stime) * 1000), usage.ru_maxrss // 1024, text


def sweeps(netsonde, targets):
    last = f"10.99.{targets // 256}.{targets % 256}"
    rows = []
    for rate in (1_000, 20_000, 50_000):
        command = [netsonde, "probe", "icmp", "10.99.0.1", "--targets", f"10.99.0.2-{last}", "--count", "1", "--rate", str(rate)]
        progress(f"netsonde: sweep of {targets} targets at {rate} a second")
        wall, cpu, memory, text = timed([*command, "--format", "json"])
        sweep = json.loads(text[text.index("{") :])["outcomes"][0]["observations"][0]
        rows.append({
            "tool": f"netsonde --rate {rate}", "wall_ms": wall, "cpu_ms": cpu, "rss_mb": memory, "targets": sweep["targets"],
            "answered": sweep["answered"], "dropped_here": sweep["dropped_here"],
        })
    if shutil.which("fping"):
        for name, options in (("fping", []), ("fping -i1", ["-i1", "-r0"]), ("fping -i0 -r0 -t500", ["-i0", "-r0", "-t500"])):
            if name == "fping" and targets > 1_000:
                continue
            progress(f"{name}: sweep of {targets} targets")
            wall, cpu, memory, text = timed(["fping", "-q", "-s", *options, "-g", "10.99.0.1", last])
            found = {word: int(number) for number, word in re.findall(r"(\d+) (targets|alive)", text)}
            rows.append({
                "tool": name, "wall_ms": wall, "cpu_ms": cpu, "rss_mb": memory, "targets": found.get("targets", 0),
                "answered": found.get("alive", 0), "dropped_here": None,
            })
    return rows


def table(rows):
    columns = list(rows[0])
    cells = [columns] + [["" if row[column] is None else str(row[column]) for column in columns] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    for line in cells:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip())
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = os.environ.get("NETSONDE", "target/release/netsonde")
    parser.add_argument("--netsonde", default=default, help="the program, else that of the variable NETSONDE")
    parser.add_argument("--count", type=int, default=1_000, help="echo requests of each series (at most 1000)")
    parser.add_argument("--targets", type=int, default=10_000, help="addresses of each sweep (at most 10000)")
    parser.add_argument("--json", help="also write the figures to this file")
    arguments = parser.parse_args()
    netsonde = os.path.abspath(arguments.netsonde)
    if not os.access(netsonde, os.X_OK):
        sys.exit(f"{netsonde} is no program: cargo build --release -p netsonde-agent builds it, or give --netsonde FILE")
    if os.geteuid() != 0:
        sys.exit("network namespaces need root")
    # A signal ends the run as an error does, so that the namespaces go with it.
    for asked in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(asked, lambda number, _: sys.exit(128 + number))
    tools = {"netsonde": by_netsonde(netsonde, "auto"), "netsonde portable": by_netsonde(netsonde, "portable"), "ping": by_ping}
    if shutil.which("fping"):
        tools["fping"] = by_fping
    try:
        progress("building the network")
        build_network()
        with tempfile.TemporaryDirectory() as folder:
            load = os.getloadavg()[0]
            swept = sweeps(netsonde, arguments.targets)
            errors = rtt_errors(tools, arguments.count, folder)
    finally:
        remove_network()
    print(f"{os.cpu_count()} processors, load {load:.1f} at the start; RTT error: reported minus the wire's own time\n")
    table(errors)
    table(swept)
    if arguments.json:
        with open(arguments.json, "w", encoding="utf-8") as file:
            json.dump({"rtt_errors": errors, "sweeps": swept}, file, indent=2)


if __name__ == "__main__":
    main()
