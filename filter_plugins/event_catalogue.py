"""Filters on the catalogue of events and feeds: the files events.yml and feeds.yml in the protocols' folders."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "files"))

from strandline.event import catalogue, feeds, patterndb


def sensor_addresses(sensors: Iterable[Mapping[str, Any]]) -> list[str]:
    """`NAME ADDRESS` for each address of each sensor, the address as inet_ntop(3) writes it and so as listeners do."""
    return sorted(
        f"{sensor['name']} {ipaddress.ip_address(address).compressed}"
        for sensor in sensors
        for address in sensor["addresses"]
    )


def archive_columns(tree: Mapping[str, Any]) -> dict[str, list[str]]:
    """For each listener of a catalogue the fields that get a column in the archive."""
    return catalogue.columns(catalogue.read(tree))


def event_catalogue(package: str) -> dict[str, Any]:
    """The listeners and events of the package strandline in a folder."""
    return catalogue.load(Path(package))


def feed_definitions(package: str) -> dict[str, Any]:
    """The feeds of the package strandline in a folder, as one document feeds.yml."""
    return feeds.collect(Path(package))


def _clear(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with Ansible's error in the place of ours."""

    def call(*arguments: Any, **options: Any) -> Any:
        try:
            return function(*arguments, **options)
        except (catalogue.CatalogueError, feeds.FeedError) as error:
            raise AnsibleFilterError(str(error)) from error

    return call


class FilterModule:
    """The catalogue's filters."""

    def filters(self) -> dict[str, Any]:
        """By the names that templates use."""
        return {
            "sensor_addresses": sensor_addresses,
            "event_catalogue": _clear(event_catalogue),
            "feed_definitions": _clear(feed_definitions),
            "archive_columns": _clear(archive_columns),
            "catalogue_listeners": _clear(catalogue.listeners),
            "python_listeners": _clear(catalogue.python_listeners),
            "patterndb": _clear(patterndb.patterndb),
        }
