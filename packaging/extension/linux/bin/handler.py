"""The handler of netsonde's extension for Azure VMs: install, enable, disable, update, uninstall.

Folders, settings and status files are as Azure/azure-linux-extensions, docs/design-details.md, describes them. The settings are the words of
whoever may manage the VM, so what they ask for is agreed to:

    public      {"run": {"set": "web", "targets": ["https://shop.example/"]}}     one run, whose findings become the status
                {"agent": "…agent.toml…", "policy": "…policy.toml…"}              the service, with these files
    protected   {"ticket": "nst1_…"}                                              one run, sent to support
                {"enrolment": "nse1_…"}                                           enrols the machine, for orders that the policy allows
"""

import base64
import datetime
import glob
import json
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = "/opt/netsonde/netsonde"
UNIT = "/etc/systemd/system/netsonde-agent.service"
PACKAGED_UNIT = "/usr/lib/systemd/system/netsonde-agent.service"
SETTINGS = "/etc/netsonde"
STATES = ["/var/lib/netsonde", "/var/lib/private/netsonde"]
# What begins each file that this handler wrote, and that it therefore may replace and take away.
MARK = "# Written by netsonde's VM extension; its settings replace what is changed here.\n"
# A version that follows tells the one before that it is not the end.
FOLLOWED = "/opt/netsonde/followed-by"
# The guest agent gives up after five minutes; what was measured by then is still to be told.
LONGEST_RUN_S = 240
# Codes of the guest agent's convention: an unusable configuration, an operation that failed.
BAD_SETTINGS, FAILED = 53, 1
KNOWN = {"public": {"run", "agent", "policy"}, "protected": {"ticket", "enrolment"}, "run": {"set", "targets", "parameters"}}


class Unusable(Exception):
    """The settings cannot be carried out; the text says which and why."""


def environment():
    """The handler's folders. The guest agent may be writing the file at this moment."""
    path = os.path.join(HERE, "HandlerEnvironment.json")
    for attempt in range(5):
        try:
            with open(path) as file:
                document = json.load(file)
            return (document[0] if isinstance(document, list) else document)["handlerEnvironment"]
        except (OSError, ValueError) as error:
            problem = error
            time.sleep(0.2 * 2**attempt)
    raise SystemExit("netsonde: %s cannot be read: %s" % (path, problem))


def latest_number(folder):
    numbers = [os.path.basename(path)[: -len(".settings")] for path in glob.glob(os.path.join(folder, "*.settings"))]
    numbers = [int(number) for number in numbers if number.isdigit()]
    return max(numbers) if numbers else None


def decrypted(folder, thumbprint, text):
    """The protected settings, with the certificate that the guest agent keeps two folders above the settings."""
    keys = os.path.dirname(os.path.dirname(os.path.abspath(folder)))
    command = ["openssl", "cms", "-decrypt", "-inform", "DER", "-recip", os.path.join(keys, thumbprint + ".crt"), "-inkey", os.path.join(keys, thumbprint + ".prv")]
    done = subprocess.run(command, input=base64.b64decode(text), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise Unusable("the protected settings cannot be decrypted with certificate %s" % thumbprint)
    return json.loads(done.stdout.decode())


def settings(folder, number):
    if number is None:
        return {}, {}
    with open(os.path.join(folder, "%d.settings" % number)) as file:
        text = file.read()
    if not text.strip():
        return {}, {}
    try:
        document = json.loads(text)
        handler = document.get("runtimeSettings", [document])[0]["handlerSettings"]
    except (ValueError, KeyError, IndexError, AttributeError, TypeError):
        raise Unusable("%d.settings is not what the guest agent writes" % number)
    public = handler.get("publicSettings") or {}
    protected = handler.get("protectedSettings") or {}
    if isinstance(protected, str):
        protected = decrypted(folder, handler.get("protectedSettingsCertThumbprint", ""), protected)
    for name, given in [("public", public), ("protected", protected), ("run", public.get("run") or {})]:
        if not isinstance(given, dict):
            raise Unusable("the %s settings are not an object" % name)
        for key in sorted(set(given) - KNOWN[name]):
            raise Unusable("the %s settings do not know %s (known: %s)" % (name, key, ", ".join(sorted(KNOWN[name]))))
    return public, protected


def report(folders, number, operation, status, message, code=0):
    """Writes the status file whole, so that the guest agent never reads half of one."""
    if number is None:
        return
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {"name": "netsonde", "operation": operation, "status": status, "code": code, "formattedMessage": {"lang": "en-US", "message": message[:4000]}}
    if status == "success":
        body["configurationAppliedTime"] = now
    path = os.path.join(folders["statusFolder"], "%d.status" % number)
    with open(path + ".new", "w") as file:
        json.dump([{"version": 1.0, "timestampUTC": now, "status": body}], file)
    os.rename(path + ".new", path)


def log(folders, line):
    with open(os.path.join(folders["logFolder"], "handler.log"), "a") as file:
        file.write("%s %s\n" % (datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), line))


def version():
    return open(os.path.join(HERE, "version")).read().strip()


def systemctl(*words):
    return subprocess.run(["systemctl"] + list(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def refuse_beside_a_package():
    if os.path.exists(PACKAGED_UNIT):
        raise Unusable("netsonde is installed here by a package, whose service this extension leaves alone; remove the package or the extension")


def place(path, text):
    """Writes a file of the settings, unless somebody at the machine wrote one."""
    if os.path.exists(path) and not open(path).read().startswith(MARK):
        raise Unusable("%s was written at the machine; the extension leaves it alone" % path)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with open(path + ".new", "w") as file:
        file.write(MARK + text)
    os.rename(path + ".new", path)


def take_away(path):
    if os.path.exists(path) and open(path).read().startswith(MARK):
        os.remove(path)


def put_program():
    """A copy where a service's own user may run it: the guest agent's folder is root's alone."""
    os.makedirs(os.path.dirname(PROGRAM), mode=0o755, exist_ok=True)
    shutil.copyfile(os.path.join(HERE, "bin", "netsonde"), PROGRAM + ".new")
    os.chmod(PROGRAM + ".new", 0o755)
    os.rename(PROGRAM + ".new", PROGRAM)


def install(folders, number):
    refuse_beside_a_package()
    put_program()
    done = subprocess.run([PROGRAM, "--version"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if done.returncode != 0:
        raise Unusable("the program does not run on this machine: %s" % done.stderr.decode(errors="replace").strip())


def start_service(public, enrolment):
    for key in ["policy", "agent"]:
        path = os.path.join(SETTINGS, key + ".toml")
        if key in public:
            place(path, public[key])
        else:
            take_away(path)
    for key, command in [("policy", ["policy", "check"]), ("agent", ["schedule", "check"])]:
        if key in public:
            checked = subprocess.run([PROGRAM] + command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            if checked.returncode != 0:
                raise Unusable("the setting %s: %s" % (key, checked.stderr.decode(errors="replace").strip()))
    if enrolment is not None and not is_enrolled():
        done = subprocess.run([PROGRAM, "enroll", "-", "--yes", "--state-dir", STATES[0]], input=enrolment.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise Unusable("enrolling failed: %s" % done.stderr.decode(errors="replace").strip())
    unit = open(os.path.join(HERE, "netsonde-agent.service")).read().replace("/usr/bin/netsonde", PROGRAM)
    place(UNIT, unit)
    enabled = systemctl("enable", "netsonde-agent.service")
    if enabled.returncode != 0:
        raise Unusable("the service cannot be enabled: %s" % enabled.stderr.decode(errors="replace").strip())
    # As sd_booted(3) tells it.
    if not os.path.isdir("/run/systemd/system"):
        return "the service is enabled and starts with the machine: systemd does not run now"
    systemctl("daemon-reload")
    started = systemctl("restart", "netsonde-agent.service")
    if started.returncode != 0:
        raise Unusable("the service does not start: %s" % started.stderr.decode(errors="replace").strip())
    return "the service runs"


def is_enrolled():
    done = subprocess.run([PROGRAM, "identity", "--state-dir", STATES[0]], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.returncode == 0


def run_once(public, ticket):
    """One run; its findings in a sentence each, and whether anything was found."""
    command = [PROGRAM, "run", "--format", "json", "--budget", "%ds" % (LONGEST_RUN_S - 30)]
    given = None
    if ticket is not None:
        command += ["--ticket", "-", "--yes"]
        given = ticket.encode()
    else:
        run = public["run"]
        command += [run.get("set", "web"), "--no-upload"]
        for target in run.get("targets", []):
            command += ["--target", target]
        for key, value in sorted((run.get("parameters") or {}).items()):
            command += ["--param", "%s=%s" % (key, value)]
    done = subprocess.run(command, input=given, stdin=None if given else subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LONGEST_RUN_S)
    try:
        document = json.loads(done.stdout.decode())
    except ValueError:
        raise Unusable("the run did not take place: %s" % done.stderr.decode(errors="replace").strip())
    lines = ["%s (%s)" % (finding["sentence"].rstrip("."), finding["cause"]) for finding in document.get("findings", [])]
    text = "; ".join(lines) or "as expected: nothing was found"
    if done.returncode == 5:
        text += ". The bundle could not be sent and is kept on the machine"
    case = (document.get("bundle") or {}).get("case_url")
    return text + (". Sent to support: %s" % case if case else "")


def enable(folders, number):
    public, protected = settings(folders["configFolder"], number)
    refuse_beside_a_package()
    put_program()
    said = []
    if {"agent", "policy"} & set(public) or "enrolment" in protected:
        said.append(start_service(public, protected.get("enrolment")))
    # A run belongs to its settings: a machine that restarts does not run it again.
    done = os.path.join(folders["configFolder"], "%s.ran" % number)
    if ("run" in public or "ticket" in protected) and not os.path.exists(done):
        report(folders, number, "enable", "transitioning", "measuring")
        said.append(run_once(public, protected.get("ticket")))
        open(done, "w").close()
    elif os.path.exists(done):
        return None
    return "; ".join(said) or "installed; the settings ask for nothing"


def disable(folders, number):
    if os.path.exists(UNIT):
        systemctl("disable", "netsonde-agent.service")
        systemctl("stop", "netsonde-agent.service")


def update(folders, number):
    """Called of the new version, before the old one is uninstalled: what was learnt and written stays."""
    put_program()
    with open(FOLLOWED, "w") as file:
        file.write(version())


def uninstall(folders, number):
    disable(folders, number)
    if os.path.exists(FOLLOWED) and open(FOLLOWED).read().strip() != version():
        os.remove(FOLLOWED)
        return
    take_away(UNIT)
    systemctl("daemon-reload")
    for name in ["policy.toml", "agent.toml"]:
        take_away(os.path.join(SETTINGS, name))
    if os.path.isdir(SETTINGS) and not os.listdir(SETTINGS):
        os.rmdir(SETTINGS)
    for folder in STATES:
        if os.path.islink(folder):
            os.remove(folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(os.path.dirname(PROGRAM), ignore_errors=True)


def main():
    operations = {"install": install, "enable": enable, "disable": disable, "update": update, "uninstall": uninstall}
    if len(sys.argv) != 2 or sys.argv[1] not in operations:
        raise SystemExit("usage: handler install|enable|disable|update|uninstall")
    operation = sys.argv[1]
    folders = environment()
    number = latest_number(folders["configFolder"])
    log(folders, operation)
    try:
        said = operations[operation](folders, number)
        if operation == "enable" and said is not None:
            report(folders, number, operation, "success", said)
        log(folders, "%s is done%s" % (operation, ": " + said if said else ""))
    except Unusable as problem:
        log(folders, "%s failed: %s" % (operation, problem))
        report(folders, number, operation, "error", str(problem), BAD_SETTINGS)
        raise SystemExit(BAD_SETTINGS)
    except (OSError, subprocess.SubprocessError, ValueError) as problem:
        log(folders, "%s failed: %s: %s" % (operation, type(problem).__name__, problem))
        report(folders, number, operation, "error", "%s failed: %s" % (operation, problem), FAILED)
        raise SystemExit(FAILED)


if __name__ == "__main__":
    main()
