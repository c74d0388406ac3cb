"""Writes the bill of materials of what is shipped from `cargo metadata` on standard input, and refuses one that CycloneDX' own schema refuses."""

import argparse
import datetime
import hashlib
import json
import os
import sys
import tomllib
import uuid

from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.factory.license import LicenseFactory
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

TARGET = "netsonde:target"


def built_of(node):
    """What a package links or runs while it is built: everything but what only its tests need."""
    return [dependency["pkg"] for dependency in node["deps"] if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"])]


def shipped(metadata, program):
    """Identifiers of all packages that a program is built of, and itself."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = next(package["id"] for package in metadata["packages"] if package["name"] == program)
    reached, ahead = set(), [root]
    while ahead:
        identifier = ahead.pop()
        if identifier in reached:
            continue
        reached.add(identifier)
        ahead.extend(built_of(nodes[identifier]))
    return root, reached, nodes


def licences(text):
    return [LicenseFactory().make_from_string(text)]


def sha256(digest):
    return HashType(alg=HashAlgorithm.SHA_256, content=digest)


def crate(package, checksums):
    own = package["source"] is None
    reference = PackageURL(type="cargo", name=package["name"], version=package["version"])
    made = Component(
        type=ComponentType.LIBRARY,
        name=package["name"],
        version=package["version"],
        bom_ref=str(reference),
        purl=None if own else reference,
        licenses=licences((package["license"] or "unknown").replace("/", " OR ")),
    )
    if (digest := checksums.get((package["name"], package["version"]))) is not None:
        made.hashes.add(sha256(digest))
    if package.get("repository"):
        made.external_references.add(ExternalReference(type=ExternalReferenceType.VCS, url=XsUri(package["repository"])))
    return made


def locked_checksums():
    """What Cargo.lock says each package's file hashes to."""
    with open("Cargo.lock", "rb") as lock:
        packages = tomllib.load(lock)["package"]
    return {(entry["name"], entry["version"]): entry["checksum"] for entry in packages if "checksum" in entry}


def linked(files):
    """What programs carry beside their crates, from files as packaging/linked writes them, one for a target."""
    made = {}
    for target, file in files:
        with open(file) as listed:
            lines = listed.read().splitlines()
        for line in lines:
            origin, name, version, licence, what = line.split("\t")
            kind, _, namespace = origin.partition("/")
            reference = PackageURL(type=kind, namespace=namespace or None, name=name, version=version)
            if (entry := made.get(str(reference))) is None:
                known = [] if licence == "-" else licences(licence)
                entry = Component(
                    type=ComponentType.LIBRARY, name=name, version=version, bom_ref=str(reference), purl=reference, description=what, licenses=known
                )
                made[str(reference)] = entry
            entry.properties.add(Property(name=TARGET, value=target))
    return list(made.values())


def certificates(file, version):
    reference = PackageURL(type="deb", namespace="debian", name="ca-certificates", version=version)
    with open(file, "rb") as content:
        digest = hashlib.sha256(content.read()).hexdigest()
    return Component(
        type=ComponentType.DATA,
        name="ca-certificates",
        version=version,
        bom_ref=str(reference),
        purl=reference,
        description="the certificates of Mozilla's list, as ca-certificates.crt of the container's archive, which the digest is of",
        licenses=licences("MPL-2.0"),
        hashes=[sha256(digest)],
    )


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("version")
    parser.add_argument("--program", action="append", required=True, help="a package whose program is shipped, for one target alone", metavar="PACKAGE[=TARGET]")
    parser.add_argument("--linked", action="append", default=[], type=lambda given: given.split("=", 1), metavar="TARGET=FILE")
    parser.add_argument("--certificates", nargs=2, metavar=("FILE", "VERSION"))
    return parser.parse_args()


def main():
    given = arguments()
    metadata = json.load(sys.stdin)
    checksums = locked_checksums()
    packages = {package["id"]: package for package in metadata["packages"]}
    made, programs = {}, []
    for name, _, target in (program.partition("=") for program in given.program):
        root, reached, nodes = shipped(metadata, name)
        made.update({identifier: crate(packages[identifier], checksums) for identifier in reached if identifier not in made})
        made[root].type = ComponentType.APPLICATION
        if target:
            made[root].properties.add(Property(name=TARGET, value=target))
        programs.append((root, target))
    beside_crates = linked(given.linked)
    beside_programs = [certificates(*given.certificates)] if given.certificates else []

    everything = [*made.values(), *beside_crates, *beside_programs]
    told = sorted(
        [entry.bom_ref.value, *(one.value for one in sorted(entry.properties)), *(one.content for one in entry.hashes)] for entry in everything
    )
    bill = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"netsonde {given.version} {told}"))
    bill.metadata.timestamp = datetime.datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), datetime.timezone.utc)
    release = Component(type=ComponentType.APPLICATION, name="netsonde", version=given.version, bom_ref="netsonde", licenses=licences("Apache-2.0"))
    bill.metadata.component = release
    bill.components.update(everything)
    bill.register_dependency(release, [*(made[root] for root, _ in programs), *beside_programs])
    for identifier, entry in made.items():
        bill.register_dependency(entry, [made[on] for on in built_of(nodes[identifier])])
    for root, target in programs:
        bill.register_dependency(made[root], [entry for entry in beside_crates if not target or any(one.value == target for one in entry.properties)])

    text = JsonV1Dot6(bill).output_as_string(indent=1)
    if (wrong := JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)) is not None:
        sys.exit(f"packaging/bill.py: not a valid bill of materials: {wrong}")
    print(text)


if __name__ == "__main__":
    main()
