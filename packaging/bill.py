"""Writes the bill of materials of netsonde-agent from `cargo metadata` on standard input, and refuses one that CycloneDX' own schema refuses."""

import datetime
import json
import os
import sys
import uuid

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.factory.license import LicenseFactory
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

PROGRAM = "netsonde-agent"


def shipped(metadata):
    """Identifiers of the packages that the program links or that run while it is built: everything but what only tests need."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = next(package["id"] for package in metadata["packages"] if package["name"] == PROGRAM)
    reached, ahead = set(), [root]
    while ahead:
        identifier = ahead.pop()
        if identifier in reached:
            continue
        reached.add(identifier)
        for dependency in nodes[identifier]["deps"]:
            if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"]):
                ahead.append(dependency["pkg"])
    return root, reached, nodes


def component(package, checksums):
    own = package["source"] is None
    reference = PackageURL(type="cargo", name=package["name"], version=package["version"])
    made = Component(
        type=ComponentType.LIBRARY,
        name=package["name"],
        version=package["version"],
        bom_ref=str(reference),
        purl=None if own else reference,
        licenses=[LicenseFactory().make_from_string((package["license"] or "unknown").replace("/", " OR "))],
    )
    if (digest := checksums.get((package["name"], package["version"]))) is not None:
        made.hashes.add(HashType(alg=HashAlgorithm.SHA_256, content=digest))
    if package.get("repository"):
        made.external_references.add(ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(package["repository"])))
    return made


def locked_checksums():
    """What Cargo.lock says each package's file hashes to."""
    import tomllib

    with open("Cargo.lock", "rb") as lock:
        packages = tomllib.load(lock)["package"]
    return {(entry["name"], entry["version"]): entry["checksum"] for entry in packages if "checksum" in entry}


def main():
    version = sys.argv[1]
    metadata = json.load(sys.stdin)
    root, reached, nodes = shipped(metadata)
    checksums = locked_checksums()
    made = {package["id"]: component(package, checksums) for package in metadata["packages"] if package["id"] in reached}

    program = made[root]
    program.type = ComponentType.APPLICATION
    bill = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"netsonde {version} {sorted(str(entry.bom_ref.value) for entry in made.values())}"))
    bill.metadata.timestamp = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.timezone.utc)
    bill.metadata.component = program
    for identifier, entry in made.items():
        if identifier != root:
            bill.components.add(entry)
    for identifier, entry in made.items():
        bill.register_dependency(entry, [made[on["pkg"]] for on in nodes[identifier]["deps"] if on["pkg"] in made])

    text = JsonV1Dot6(bill).output_as_string(indent=1)
    if (wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)) is not None:
        sys.exit(f"packaging/bill.py: not a valid bill of materials: {wrong}")
    print(text)


if __name__ == "__main__":
    main()
