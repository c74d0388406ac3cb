"""What makes two packages of the same program the same bytes, where wixl draws dice or reads the clock.

    reproducible.py product VERSION FILE…              the product's identifier (UUID version 5, RFC 9562 section 5.5)
    reproducible.py settle PACKAGE.msi VERSION FILE…   sets the package's own identifier, and its times to SOURCE_DATE_EPOCH

Identifiers follow from what is packed: another program is another package, and the same one the same wherever it is built.
"""

import hashlib
import os
import re
import sys
import uuid

# The UpgradeCode of netsonde.wxs.
SPACE = uuid.UUID("6F2B7C54-9E0D-4B63-8C5A-2D0B6B6E4A11")
# From 1 January 1601 to 1970 in units of 100 nanoseconds (FILETIME of the Windows documentation).
EPOCH = 116444736000000000
# In the package's summary: its identifier, filled up to four bytes, then when it was made and when it was written last, each behind the
# number of its type ([MS-OLEPS] section 2.15).
SUMMARY = re.compile(rb"\{[0-9A-F-]{36}\}(\0\0@\0\0\0).{8}(@\0\0\0).{8}", re.DOTALL)


def identifier(of, version, paths):
    digest = hashlib.sha256(version.encode())
    for path in paths:
        with open(path, "rb") as file:
            digest.update(hashlib.sha256(file.read()).digest())
    return str(uuid.uuid5(SPACE, f"{of} {digest.hexdigest()}")).upper()


def settle(package, version, paths):
    with open(package, "rb") as file:
        content = file.read()
    epoch = os.environ["SOURCE_DATE_EPOCH"]
    moment = (EPOCH + int(epoch) * 10_000_000).to_bytes(8, "little")
    own = identifier(f"package {epoch}", version, paths).encode()
    content, count = SUMMARY.subn(lambda found: b"{" + own + b"}" + found[1] + moment + found[2] + moment, content)
    if count != 1:
        sys.exit(f"reproducible.py: {package} has {count} summaries as wixl writes them, not one")
    with open(package, "wb") as file:
        file.write(content)


if sys.argv[1] == "product":
    print(identifier("product", sys.argv[2], sys.argv[3:]))
else:
    settle(sys.argv[2], sys.argv[3], sys.argv[4:])
