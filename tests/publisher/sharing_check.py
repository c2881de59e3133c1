"""Reads the files for sharing platforms as their own libraries do; prints each feed's addresses and identifiers.

Runs in a virtual environment with stix2 and PyMISP (client_venv.py): `python sharing_check.py GENERATION`.
"""

import json
import sys
from pathlib import Path
from typing import Any

import stix2  # type: ignore[import-not-found]
from pymisp import MISPEvent  # type: ignore[import-not-found]
from stix2patterns.validator import run_validator  # type: ignore[import-not-found]


def stix(folder: Path) -> dict[str, dict[str, str]]:
    found = {}
    for path in sorted(folder.glob("*.json")):
        bundle = stix2.parse(path.read_text(encoding="utf-8"), version="2.1")
        [identity] = [one for one in bundle.objects if one["type"] == "identity"]
        indicators = {}
        for one in bundle.objects:
            if one["type"] == "identity":
                continue
            assert one["type"] == "indicator", one["type"]
            assert one.created_by_ref == identity.id
            assert run_validator(one.pattern, stix_version="2.1") == [], one.pattern
            assert f"'{one.name}'" in one.pattern
            assert one.created <= one.modified
            assert one.valid_from < one.valid_until
            indicators[one.name] = one.id
        found[path.stem] = indicators
    return found


def as_text(tree: Any) -> Any:
    """Return a tree with texts alone, without what the library adds to tags."""
    if isinstance(tree, dict):
        return {key: as_text(tree[key]) for key in tree if key not in ("local", "relationship_type")}
    return [as_text(one) for one in tree] if isinstance(tree, list) else str(tree)


def document(folder: Path, identifier: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{identifier}.json").read_text(encoding="utf-8"))["Event"]
    return found


def misp(folder: Path) -> dict[str, dict[str, str]]:
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    hashes = sorted((folder / "hashes.csv").read_text(encoding="ascii").splitlines())
    expected = []
    found = {}
    for identifier, about in manifest.items():
        event = MISPEvent()
        event.load_file(folder / f"{identifier}.json")
        # What the library itself would have published of the event: some numbers of it are text in MISP.
        feed = event.to_feed(with_meta=True)["Event"]
        assert as_text(feed["_manifest"]) == as_text({identifier: about}), (feed["_manifest"], about)
        assert len(feed["Attribute"]) == len(event.attributes)
        assert set(feed) - {"_hashes", "_manifest", "protected"} <= set(document(folder, identifier)), feed.keys()
        expected += [f"{value},{identifier}" for value in feed["_hashes"]]
        attributes = {}
        for one in event.attributes:
            assert (one.type, one.category, one.to_ids) == ("ip-src", "Network activity", True)
            assert one.first_seen <= one.last_seen
            attributes[one.value] = one.uuid
        found[about["info"].rpartition(", ")[2].partition(":")[0]] = attributes
    assert sorted(expected) == hashes
    return found


generation = Path(sys.argv[1])
print(json.dumps({"stix": stix(generation / "stix"), "misp": misp(generation / "misp")}))
