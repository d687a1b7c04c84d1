# Validates files against the published schema of CycloneDX 1.6; prints what is wrong, and ends with 1 then.
import sys

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

for name in sys.argv[1:]:
    with open(name) as file:
        wrong = JsonStrictValidator(SchemaVersion.V1_6).validate_str(file.read())
    if wrong is not None:
        sys.exit(f"{name}: {wrong}")
