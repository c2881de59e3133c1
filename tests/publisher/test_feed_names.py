"""Names of systems: whatever a registry holds, a line keeps its five fields."""

from __future__ import annotations

import random

import pytest
from strandline.publisher.names import ascii_name, printable


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("COGENT-174 - Cogent Communications", "COGENT-174 - Cogent Communications"),
        ("BRASIL TECPAR | AMIGO | AVATO", "BRASIL TECPAR / AMIGO / AVATO"),
        ("A  |  B", "A / B"),
        ("|||", "///"),
        ("Łódź Straße Ærø Þór ĐÐ ıİ œŒ", "Lodz Strasse AEro Thor DD iI oeOE"),
        ("Société Générale – Réseau", "Societe Generale - Reseau"),  # noqa: RUF001
        ("ＦＵＬＬ｜ＷＩＤＴＨ", "FULL/WIDTH"),  # noqa: RUF001
        ("網路", "??"),
        ("tab\tline\nend\rnul\0bell\a", "tab line end nulbell"),
        ("\x1b[31mred", "[31mred"),
        ("right\u202eleft\u200bzero\ufeff", "rightleftzero"),
        ('"QUOTED" name', "'QUOTED' name"),
        ("resolver 8.8.8.8!", "resolver 8-8-8-8!"),
        ("８.８.８.８", "8-8-8-8"),  # noqa: RUF001
        ("1.2.3.4.5", "1-2-3-4-5"),
        ("v1.2.3", "v1.2.3"),
        ("", "NA"),
        (" \u3000\t ", "NA"),
        ("\x00\x01", "NA"),
        ("#hash", "-hash"),
        ("NET 1234.5.6.7", "NET 1234-5-6-7"),
        ("1.2.3.4567", "1-2-3-4567"),
        ("v1.2.3.4.5", "v1-2-3-4-5"),
        ("AS 1.2.3", "AS 1.2.3"),
    ],
)
def test_names(name: str, right: str) -> None:
    assert ascii_name(name) == right


def test_the_whole_name_keeps_its_letters() -> None:
    assert printable("  Łódź\x00 \u202e| 網路\n ") == "Łódź | 網路"


def test_any_text_at_all() -> None:
    chance = random.Random(11)
    for _ in range(2000):
        name = "".join(
            chr(chance.choice([chance.randrange(0x80), chance.randrange(0x3000), chance.randrange(0xD800)]))
            for _ in range(chance.randrange(40))
        )
        text = ascii_name(name)
        assert text
        assert text == text.strip()
        assert "  " not in text
        assert "|" not in text
        assert all(" " <= c <= "~" for c in text)
        assert ascii_name(text) == text
