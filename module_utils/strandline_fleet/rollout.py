"""In which order a change goes through the fleet: one host first, then batches that mix the providers.

What breaks a host often breaks its provider's other hosts too: the same image, the same hypervisor, the same mirror.
So no batch takes more than half of a provider's hosts, and the network keeps its view from each provider while a batch
is under way. Collectors and publishers follow when the sensors have shown that the change is good, each by itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from strandline_fleet.errors import Refusal

DEFAULT_SIZE = 10
CENTRAL = ("collectors", "publishers")
"""Groups whose hosts come last, in this order, one at a time."""


def batches(provider_of: Mapping[str, str], size: int = DEFAULT_SIZE) -> list[list[str]]:
    """Divide hosts (by name, each with its provider) into batches of at most ``size``, the first of one host alone.

    The first host comes from the provider with the most hosts: the one whose behaviour says most about the rest. The
    same hosts give the same batches. Raises Refusal for a size below 1.
    """
    if size < 1:
        raise Refusal(f"A batch can't have {size} hosts: give at least 1.")
    waiting: dict[str, list[str]] = defaultdict(list)
    for host in sorted(provider_of):
        waiting[provider_of[host]].append(host)
    most = {provider: max(1, len(hosts) // 2) for provider, hosts in waiting.items()}
    result: list[list[str]] = []
    while any(waiting.values()):
        room = size if result else 1
        batch: list[str] = []
        taken: dict[str, int] = defaultdict(int)
        while len(batch) < room:
            able = [each for each, hosts in waiting.items() if hosts and taken[each] < most[each]]
            if not able:
                break
            # Whoever has most to do yet, and of these whoever has least in this batch.
            provider = min(able, key=lambda each: (taken[each] / most[each], -len(waiting[each]), each))
            taken[provider] += 1
            batch.append(waiting[provider].pop(0))
        result.append(batch)
    return result


def plan(hosts: Iterable[str], groups: Mapping[str, Sequence[str]], size: int = DEFAULT_SIZE) -> list[list[str]]:
    """The batches for these hosts: sensors mixed by their groups ``provider_…``, then the central hosts one by one.

    ``groups`` are the inventory's, each with its hosts. Raises Refusal for a size below 1.
    """
    chosen = dict.fromkeys(hosts)
    central = list(dict.fromkeys(host for group in CENTRAL for host in groups.get(group, ()) if host in chosen))
    provider_of = {
        host: group for group, members in sorted(groups.items()) if group.startswith("provider_") for host in members
    }
    leased = {host: provider_of.get(host, "") for host in chosen if host not in central}
    return [*batches(leased, size), *([host] for host in central)]
