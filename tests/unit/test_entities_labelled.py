"""How well the detector finds names: a labelled set of messages, written for this and not looked at while building it.

Each line is a message and the names in it, separated by ``;``. Types are not labelled: they are guesses.
"""

from __future__ import annotations

from collections import Counter

import pytest

from keepwell.formation.entities import confirmed, names_in
from keepwell.formation.names import folded

CHAT = """
Hey, did you hear that Marcus got the job at Siemens? | Marcus; Siemens
I'm flying to Lisbon on Thursday with Aunt Carol. | Lisbon; Aunt Carol
My therapist, Dr. Okafor, says I should write more. | Dr. Okafor
We adopted a dog last week, his name is Biscuit. | Biscuit
can't believe it's already March lol |
Nadia and Felix are getting married in the Cotswolds. | Nadia; Felix; Cotswolds
The meeting with Henrik Lindqvist was moved to Friday. | Henrik Lindqvist
I read "Middlemarch" over Christmas and loved it. | Middlemarch
Please send it to jo.march@orchardhouse.net before noon. | jo.march@orchardhouse.net
Ask @devon_k about the tickets for Glastonbury. | @devon_k; Glastonbury
My brother Samir works for the Red Cross in Nairobi. | Samir; Red Cross; Nairobi
Remember that I take my coffee black. |
What should I cook for dinner tonight? |
I think Mum would like that. | Mum
Our neighbour, Mrs. Kowalski, feeds Biscuit when we are away. | Mrs. Kowalski; Biscuit
Went to Trader Joe's and then to the gym. | Trader Joe's
I grew up in Rio de Janeiro but live in Porto now. | Rio de Janeiro; Porto
Yesterday I bumped into Ines at the library. | Ines
Our team uses Kubernetes and Terraform. | Kubernetes; Terraform
He plays for Real Madrid. | Real Madrid
I want to learn Japanese before our trip to Kyoto. | Kyoto
Could you remind me to call Grandma on Sunday? | Grandma
Elif's flight from Istanbul is late. | Elif; Istanbul
THIS IS SO UNFAIR |
Honestly the best pizza in Naples is at Da Michele. | Naples; Da Michele
I met Jean-Pierre O'Malley at the BBC. | Jean-Pierre O'Malley; BBC
I'm allergic to penicillin and cats. |
They watched "The Grand Budapest Hotel" with Leo. | The Grand Budapest Hotel; Leo
The Smiths are coming over on Saturday. | Smiths
Theo said he'd bring the guitar. | Theo
Is Vincent van Gogh buried in Auvers-sur-Oise? | Vincent van Gogh; Auvers-sur-Oise
I finally finished my thesis at the University of Groningen! | University of Groningen
New Zealand was amazing, Queenstown most of all. | New Zealand; Queenstown
Sorry, I was thinking of somebody else. |
Priyanka from accounting quit. | Priyanka
We listened to Kind of Blue by Miles Davis all evening. | Kind of Blue; Miles Davis
My boss is called Agnieszka. | Agnieszka
Do you know a good dentist near Alexanderplatz? | Alexanderplatz
Bella, sit! |
The iPad I ordered from Amazon never came. | iPad; Amazon
""".strip()

LONG = """
**Packing list:** take layers, a rain jacket and good boots. |
Here are three ideas: Visit the Alhambra in Granada, try the tapas, and walk up to the Mirador. | Alhambra; Granada; Mirador
1. Start with a warm-up. 2. Stretch your legs. |
Great question! Based on what you told me, Samir's birthday is on May 4th. | Samir
## How To Plan A Budget |
- Netflix: 12 euros | Netflix
Of course! You could ask Henrik whether Lund has a direct train to Copenhagen. | Henrik; Lund; Copenhagen
Both Toyota and Volvo make good family cars. | Toyota; Volvo
In that case, I would suggest Dr. Okafor's group on Wednesdays. | Dr. Okafor
Albert Einstein was born in Ulm; Marie Curie was born in Warsaw. | Albert Einstein; Ulm; Marie Curie; Warsaw
Note: Ingredients may vary. |
Congratulations on finishing the Berlin Marathon, Nadia! | Berlin Marathon; Nadia
""".strip()

ELSEWHERE = """
Ayer fui con Lucía a la playa de Málaga. | Lucía; Málaga
Mañana llamo a José Luis García. | José Luis García
Ma sœur Chloé habite à Montpellier depuis juin. | Chloé; Montpellier
On a vu « Amélie » avec les parents de Théo. | Amélie; Théo
Ich war gestern mit meiner Schwester Anke in Hamburg. | Anke; Hamburg
Mein Chef heißt Torsten und ist nicht nett. | Torsten
Heute habe ich Hunger und keine Lust auf Arbeit. |
Domani vado a Firenze con Giulia e Matteo. | Firenze; Giulia; Matteo
Gisteren heb ik met Sanne van der Berg in Utrecht gegeten. | Sanne van der Berg; Utrecht
Amanhã a Beatriz vai comigo a Coimbra. | Beatriz; Coimbra
Jutro jadę z Kasią do Krakowa. | Kasią; Krakowa
Мой брат Дмитрий живёт в Казани. | Дмитрий; Казани
Χθες συνάντησα τη Μαρία στην Αθήνα. | Μαρία; Αθήνα
Dün Ayşe ile İzmir'e gittim. | Ayşe; İzmir
昨日[[佐藤]]さんと『千と千尋の神隠し』を見た。 | 佐藤; 千と千尋の神隠し
""".strip()


def labelled(lines: str) -> list[tuple[str, set[str]]]:
    """Give messages with their names, folded."""
    rows = (line.rsplit("|", 1) for line in lines.splitlines())
    return [(text.strip(), {folded(name) for name in names.split(";") if name.strip()}) for text, names in rows]


def measured(lines: str) -> tuple[float, float]:
    """Give precision and recall over all names of the messages, which are looked at together."""
    rows = labelled(lines)
    found = confirmed([names_in(text) for text, _ in rows])
    counts: Counter[str] = Counter()
    for (_, names), hits in zip(rows, found, strict=True):
        got = {folded(one.name) for one in hits}
        counts.update(right=len(got & names), found=len(got), there=len(names))
    return counts["right"] / counts["found"], counts["right"] / counts["there"]


@pytest.mark.parametrize(
    ("lines", "precision", "recall"),
    [(CHAT, 0.9, 0.9), (LONG, 0.9, 0.9), (ELSEWHERE, 0.85, 0.8)],
    ids=["chat", "long", "elsewhere"],
)
def test_names_are_found_as_well_as_the_page_says(lines: str, precision: float, recall: float) -> None:
    """On messages of several kinds and languages the detector is as good as is told in ``docs/explanation/graph.md``."""
    got = measured(lines)
    assert got[0] >= precision
    assert got[1] >= recall
