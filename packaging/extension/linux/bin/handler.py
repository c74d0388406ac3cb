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
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PROGRAM = "/opt/netsonde/netsonde"
UNIT = "/etc/systemd/system/netsonde-agent.service"
# The first version that knows the unit's `@system-service`.
OLDEST_SYSTEMD = 239
# What `systemctl edit` makes.
DROP_INS = UNIT + ".d"
# What does a schedule's work without a service.
IN_ITS_PLACE = "in its place, with the schedules in /etc/netsonde/agent.toml, in /etc/cron.d/netsonde: * * * * * root %s schedule run --due" % PROGRAM
PACKAGED_UNIT = "/usr/lib/systemd/system/netsonde-agent.service"
SETTINGS = "/etc/netsonde"
FILES = ["policy", "agent"]
STATES = ["/var/lib/netsonde", "/var/lib/private/netsonde"]
# What begins each file that this handler wrote, and that it therefore may replace and take away.
MARK = "# Written by netsonde's VM extension; its settings replace what is changed here.\n"
# While it is there, another version takes over, and uninstalling is not the end.
FOLLOWED = "/opt/netsonde/followed"
# What each run came to: beside the program, where an update leaves it.
RUNS = "/opt/netsonde/runs"
# The guest agent gives up after five minutes; what was measured by then is still to be told.
LONGEST_RUN_S = 240
# What goes on is to be told at least every two minutes (design-details.md, "Status reporting").
TOLD_EVERY_S = 60
# Exit codes of netsonde that blame what it was given, which is the settings: a wrong word or file, and a refusal.
BLAMES_SETTINGS = [2, 4]
KNOWN = {
    "public": {"run": dict, "agent": str, "policy": str},
    "protected": {"ticket": str, "enrolment": str},
    "run": {"set": str, "targets": list, "parameters": dict},
}
KINDS = {str: "a text", list: "a list of texts", dict: "an object"}


class Stop(Exception):
    """Why an operation was not carried out, in words for the portal. The codes are of the guest agent's convention."""


class Unsupported(Stop):
    """What is asked for does not run on a machine like this one."""

    code = 51


class Missing(Stop):
    """A program of the system's is not here, and can be installed."""

    code = 52


class Unusable(Stop):
    """The settings cannot be carried out; the text says which and why."""

    code = 53


class Failed(Stop):
    """Something failed that might not fail another time, and that no setting is to blame for; the text says what and why."""

    code = 1


class Unsent(Failed):
    """A run took place whose bundle did not reach support; the text says what was found, and why it was not sent."""


def failed(done, words):
    """What to raise where netsonde failed, by its exit code."""
    words = "%s: %s" % (words, done.stderr.decode(errors="replace").strip())
    return Unusable(words) if done.returncode in BLAMES_SETTINGS else Failed(words)


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


def settings_number(folder):
    """The number that the guest agent names, for numbers do not always grow; where it names none that is there, the greatest."""
    named = os.environ.get("ConfigSequenceNumber", "")
    if named.isdecimal() and os.path.exists(os.path.join(folder, "%d.settings" % int(named))):
        return int(named)
    numbers = [os.path.basename(path)[: -len(".settings")] for path in glob.glob(os.path.join(folder, "*.settings"))]
    numbers = [int(number) for number in numbers if number.isdigit()]
    return max(numbers) if numbers else None


def decrypted(folder, thumbprint, text):
    """The protected settings, with the certificate that the guest agent keeps two folders above the settings."""
    keys = os.path.dirname(os.path.dirname(os.path.abspath(folder)))
    command = ["openssl", "cms", "-decrypt", "-inform", "DER", "-recip", os.path.join(keys, "%s.crt" % thumbprint), "-inkey", os.path.join(keys, "%s.prv" % thumbprint)]
    try:
        done = subprocess.run(command, input=base64.b64decode(text), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode == 0:
            return json.loads(done.stdout.decode())
    except ValueError:
        raise Unusable("the protected settings are not what the guest agent writes")
    except FileNotFoundError:
        raise Missing("this machine has no openssl, which opens protected settings; install it, then enable the extension again")
    raise Unusable("the protected settings cannot be decrypted with certificate %s" % thumbprint)


def settings(folder, number):
    if number is None:
        return {}, {}
    try:
        with open(os.path.join(folder, "%d.settings" % number), encoding="utf-8") as file:
            text = file.read()
        if not text.strip():
            return {}, {}
        document = json.loads(text)
        handler = document.get("runtimeSettings", [document])[0]["handlerSettings"]
        public, protected = handler.get("publicSettings"), handler.get("protectedSettings")
    except (ValueError, KeyError, IndexError, AttributeError, TypeError):
        raise Unusable("%d.settings is not what the guest agent writes" % number)
    if protected and isinstance(protected, str):
        protected = decrypted(folder, handler.get("protectedSettingsCertThumbprint"), protected)
    public, protected = section("public", public or {}), section("protected", protected or {})
    if "run" in public:
        public["run"] = run_settings(public["run"])
    return public, protected


def section(name, given):
    """The settings of one object, each known and of its kind; what is null is not there."""
    if not isinstance(given, dict):
        raise Unusable("the %s settings are not an object" % name)
    given = {key: value for key, value in given.items() if value is not None}
    known = ", ".join(sorted(KNOWN[name]))
    for key, value in sorted(given.items()):
        if key not in KNOWN[name]:
            # What stands among the protected is not repeated: it may be a secret.
            raise Unusable("the %s settings do not know %s (known: %s)" % (name, "one of these" if name == "protected" else key, known))
        if not isinstance(value, KNOWN[name][key]):
            raise Unusable("the %s settings: %s has to be %s" % (name, key, KINDS[KNOWN[name][key]]))
    return given


def run_settings(given):
    run = section("run", given)
    if not all(isinstance(target, str) for target in run.get("targets", [])):
        raise Unusable("the run settings: targets has to be %s" % KINDS[list])
    for key, value in sorted(run.get("parameters", {}).items()):
        if not isinstance(value, (str, int, float)):
            raise Unusable("the run settings: parameters: %s has to be a text, a number, true or false" % key)
    return run


def report(folders, number, operation, status, message, code=0):
    """Writes the status file whole, so that the guest agent never reads half of one."""
    if number is None:
        return
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    body = {"name": "netsonde", "operation": operation, "status": status, "code": code, "formattedMessage": {"lang": "en-US", "message": message[:4000]}}
    if status == "success":
        body["configurationAppliedTime"] = now
    write(os.path.join(folders["statusFolder"], "%d.status" % number), json.dumps([{"version": 1.0, "timestampUTC": now, "status": body}]))


class Telling:
    """Tells at once, and every TOLD_EVERY_S until its end, that the operation goes on: nothing is told after it."""

    def __init__(self, folders, number, operation):
        self.told = (folders, number, operation)
        self.began = time.monotonic()
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.go_on, daemon=True)

    def __enter__(self):
        self.tell()
        self.thread.start()

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def go_on(self):
        while not self.ended.wait(TOLD_EVERY_S):
            self.tell()

    def tell(self):
        try:
            report(*self.told, "transitioning", "at work for %d s" % (time.monotonic() - self.began))
        # A status that cannot be written now may be the next time; the last one says so.
        except OSError:
            pass


def log(folders, line):
    with open(os.path.join(folders["logFolder"], "handler.log"), "a", encoding="utf-8") as file:
        file.write("%s %s\n" % (datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"), line))


def version():
    return open(os.path.join(HERE, "version")).read().strip()


def systemctl(*words):
    return subprocess.run(["systemctl"] + list(words), stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def refuse_beside_a_package():
    if os.path.exists(PACKAGED_UNIT):
        raise Failed("netsonde is installed here by a package, whose service this extension leaves alone; remove the package or the extension")


def place(path, text):
    """Writes a file of the settings, unless somebody at the machine wrote one."""
    if os.path.exists(path) and not is_ours(path):
        raise Failed("%s was written at the machine; the extension leaves it alone" % path)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    write(path, MARK + text)


def take_away(path):
    if os.path.exists(path) and is_ours(path):
        os.remove(path)


def is_ours(path):
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(len(MARK)) == MARK


def write(path, text):
    """Writes a file whole or not at all."""
    with open(path + ".new", "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(path + ".new", path)


def put_program():
    """A copy where a service's own user may run it: the guest agent's folder is root's alone."""
    os.makedirs(os.path.dirname(PROGRAM), mode=0o755, exist_ok=True)
    shutil.copyfile(os.path.join(HERE, "bin", "netsonde"), PROGRAM + ".new")
    os.chmod(PROGRAM + ".new", 0o755)
    os.rename(PROGRAM + ".new", PROGRAM)


def install(folders, number):
    refuse_beside_a_package()
    put_program()
    try:
        done = subprocess.run([PROGRAM, "--version"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as problem:
        raise Unsupported("the program of this package, which is for x86_64, does not run on this machine (%s): %s" % (platform.machine(), problem))
    if done.returncode != 0:
        raise Unsupported("the program does not run on this machine: %s" % done.stderr.decode(errors="replace").strip())


def refuse_old_systemd():
    """Words that nobody knows refuse nothing."""
    try:
        said = systemctl("--version").stdout.decode(errors="replace")
    except FileNotFoundError:
        raise Unsupported("this machine has no systemd, which the service needs; %s" % IN_ITS_PLACE)
    told = re.match(r"systemd ([0-9]+)", said)
    if told and int(told.group(1)) < OLDEST_SYSTEMD:
        raise Unsupported("systemd %s is here, and the service needs systemd %d or newer; %s" % (told.group(1), OLDEST_SYSTEMD, IN_ITS_PLACE))


def start_service(public, enrolment):
    refuse_old_systemd()
    for key in FILES:
        path = settings_file(key)
        if key in public:
            place(path, public[key])
        else:
            take_away(path)
    for key, command in [("policy", ["policy", "check"]), ("agent", ["schedule", "check"])]:
        if key in public:
            checked = subprocess.run([PROGRAM] + command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            if checked.returncode != 0:
                raise failed(checked, "the setting %s" % key)
    if enrolment is not None and not is_enrolled():
        done = subprocess.run([PROGRAM, "enroll", "-", "--yes", "--state-dir", STATES[0]], input=enrolment.encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if done.returncode != 0:
            raise failed(done, "enrolling failed")
    unit = open(os.path.join(HERE, "netsonde-agent.service")).read().replace("/usr/bin/netsonde", PROGRAM)
    place(UNIT, unit)
    enabled = systemctl("enable", "netsonde-agent.service")
    if enabled.returncode != 0:
        raise Failed("the service cannot be enabled: %s" % enabled.stderr.decode(errors="replace").strip())
    if not systemd_runs():
        return "the service is enabled and starts with the machine: systemd does not run now"
    systemctl("daemon-reload")
    started = systemctl("restart", "netsonde-agent.service")
    if started.returncode != 0:
        raise Failed("the service does not start: %s" % started.stderr.decode(errors="replace").strip())
    return "the service runs"


def end_service():
    """Ends the service and takes away its files, as far as they are this handler's: its key and what it learnt stay. Says whether there was
    anything."""
    ours = [path for path in [settings_file(key) for key in FILES] + [UNIT] if os.path.exists(path) and is_ours(path)]
    # The policy first: what runs on has none then.
    for path in ours:
        if path == UNIT:
            disable_unit()
        os.remove(path)
    if UNIT in ours:
        systemctl("daemon-reload")
    return bool(ours)


def disable_unit():
    """Whoever wrote a unit of this name at the machine keeps it."""
    if not os.path.exists(UNIT) or not is_ours(UNIT):
        return
    commands = [["disable", "netsonde-agent.service"]]
    if systemd_runs():
        commands.append(["stop", "netsonde-agent.service"])
    for command in commands:
        done = systemctl(*command)
        if done.returncode != 0:
            raise Failed("the service cannot be ended: systemctl %s: %s" % (" ".join(command), done.stderr.decode(errors="replace").strip()))


def systemd_runs():
    """As sd_booted(3) tells it."""
    return os.path.isdir("/run/systemd/system")


def settings_file(key):
    return os.path.join(SETTINGS, key + ".toml")


def is_enrolled():
    done = subprocess.run([PROGRAM, "identity", "--state-dir", STATES[0]], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.returncode == 0


def run_once(number, public, ticket):
    """What a run came to; of one that took place already, what it came to then: a machine that restarts, and a new version of this handler, do
    not run it again. A ticket works once; any other run is asked for once by its settings under their number."""
    asked = ticket if ticket is not None else json.dumps([number, public["run"]], sort_keys=True)
    known = os.path.join(RUNS, hashlib.sha256(asked.encode()).hexdigest())
    if os.path.exists(known):
        with open(known, encoding="utf-8") as file:
            return file.read()
    said = measured(public, ticket)
    os.makedirs(RUNS, mode=0o700, exist_ok=True)
    write(known, said)
    return said


def measured(public, ticket):
    command = [PROGRAM, "run", "--format", "json", "--budget", "%ds" % (LONGEST_RUN_S - 30)]
    if ticket is not None:
        command += ["--ticket", "-", "--yes"]
    else:
        run = public["run"]
        command += [run.get("set", "web"), "--no-upload"]
        for target in run.get("targets", []):
            command += ["--target", target]
        for key, value in sorted(run.get("parameters", {}).items()):
            command += ["--param", "%s=%s" % (key, value if isinstance(value, str) else json.dumps(value))]
    done = subprocess.run(command, input=(ticket or "").encode(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=LONGEST_RUN_S)
    errors = done.stderr.decode(errors="replace").strip()
    try:
        document = json.loads(done.stdout.decode())
    except ValueError:
        raise failed(done, "the run did not take place")
    return told(document, ticket is not None, errors)


def told(document, to_be_sent, errors):
    """What a run came to in a sentence each, and where its bundle is. The program's exit code does not tell: a problem that was found stands
    before a bundle that was not sent."""
    text, bundle = verdict(document), document.get("bundle")
    path = (bundle or {}).get("path")
    if not to_be_sent:
        return text if path else text + ". Its bundle could not be kept"
    if bundle and bundle.get("case_url"):
        return "%s. Sent to support: %s" % (text, bundle["case_url"])
    if bundle and not path:
        return text + ". Sent to support"
    why = [line for line in errors.splitlines() if line.startswith("netsonde: ")][-1:]
    kept = "the bundle is kept: %s" % path if path else "the bundle is not kept"
    raise Unsent("%s. NOT sent to support: %s" % (text, "; ".join([line[len("netsonde: ") :] for line in why] + [kept])))


def verdict(document):
    found = ["%s (%s)" % (finding["sentence"].rstrip("."), finding["cause"]) for finding in document["findings"]]
    found += ["%s: %s (no known cause explains it)" % (failure["check"], failure["what"].rstrip(".")) for failure in document["unexplained"]]
    if document["state"] == "indeterminate":
        gaps = ["%s: %s" % (gap["check"], gap["why"].rstrip(".")) for gap in document["not_measured"] if gap["required"]]
        found = ["no verdict, because what is needed for one could not be measured (%s)" % "; ".join(gaps)] + found
    elif document["state"] == "as_expected":
        return "; ".join(["as expected: nothing was found"] if not found else ["as expected, but noticed"] + found)
    return "; ".join(found)


def enable(folders, number):
    with Telling(folders, number, "enable"):
        return enabled(folders, number)


def enabled(folders, number):
    public, protected = settings(folders["configFolder"], number)
    said = []
    service = bool(set(FILES) & set(public)) or "enrolment" in protected
    # A package that came later does not keep a policy that is no longer asked for.
    if not service and end_service():
        said.append("the service that earlier settings asked for is ended, and its files are taken away")
    refuse_beside_a_package()
    put_program()
    # What is enabled is followed by none.
    if os.path.exists(FOLLOWED):
        os.remove(FOLLOWED)
    if service:
        said.append(start_service(public, protected.get("enrolment")))
    if "run" in public or "ticket" in protected:
        said.append(run_once(number, public, protected.get("ticket")))
    return "; ".join(said) or "installed; the settings ask for nothing"


def disable(folders, number):
    disable_unit()


def update(folders, number):
    """Called before the old version is uninstalled, of the higher of the two, which is the old one where a lower one takes its place: what was
    learnt and written stays."""
    put_program()
    write(FOLLOWED, "")


def uninstall(folders, number):
    if os.path.exists(FOLLOWED):
        disable_unit()
        os.remove(FOLLOWED)
        return
    # A service of this name that is another's keeps what was changed of its unit, and what it learnt.
    is_another_s = os.path.exists(PACKAGED_UNIT) or (os.path.exists(UNIT) and not is_ours(UNIT))
    if not is_another_s:
        shutil.rmtree(DROP_INS, ignore_errors=True)
    end_service()
    if os.path.isdir(SETTINGS) and not os.listdir(SETTINGS):
        os.rmdir(SETTINGS)
    for folder in [] if is_another_s else STATES:
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
    number = settings_number(folders["configFolder"])
    try:
        log(folders, "%s, version %s" % (operation, version()))
        said = operations[operation](folders, number)
        if operation == "enable":
            report(folders, number, operation, "success", said)
        log(folders, "%s is done%s" % (operation, ": " + said if said else ""))
    except Stop as problem:
        fail(folders, number, operation, str(problem), problem.code)
    except (OSError, subprocess.SubprocessError) as problem:
        fail(folders, number, operation, "%s failed: %s" % (operation, problem), Failed.code)
    # A mistake of this handler's own is told by its name alone, lest its words repeat a secret; a status that never ends would be worse.
    except Exception as problem:
        fail(folders, number, operation, "%s failed: %s" % (operation, type(problem).__name__), Failed.code)


def fail(folders, number, operation, words, code):
    log(folders, "%s failed: %s" % (operation, words))
    report(folders, number, operation, "error", words, code)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
