# ruff: noqa: RUF001 - letters of other scripts are the content
"""Words that say nothing, by language: they are left out of terms, unless a text has no others.

A language without a list loses little: what is in every message weighs next to nothing in the ranking.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

_ENGLISH = (
    "a about after all also am an and any are as at be been before being but by can could d did do does doing don for"
    " from had has have having he her here hers him his how i if in into is it its just ll m me more most my no nor"
    " not now of off on once only or other our out over own re s same she should so some such t than that the their"
    " them then there these they this those through to too under until up ve very was we were what when where which"
    " while who whom why will with would you your"
)
_GERMAN = (
    "aber alle allem allen aller alles als also am an auch auf aus bei beim bin bis bist da damit dann das dass dein"
    " deine deinem deinen deiner dem den denn der des dich die dies diese diesem diesen dieser dieses dir doch dort du"
    " durch ein eine einem einen einer eines er es etwas euch euer für gegen gehabt hab habe haben habt hast hat hatte"
    " hatten hier hinter ich ihm ihn ihnen ihr ihre ihrem ihren ihrer im in ins ist ja jede jedem jeden jeder jedes"
    " jener jetzt kann kannst können könnte machen man mein meine meinem meinen meiner mich mir mit muss nach nicht"
    " nichts noch nun nur ob oder ohne sehr sein seine seinem seinen seiner seit sich sie sind so soll sollte sondern"
    " über um und uns unser unsere unter vom von vor war waren warst was welche welchem welchen welcher welches wenn"
    " wer wem wen werde werden wie wieder will wir wird wirst wo womit worden wurde wurden zu zum zur zwischen wann"
    " warum hatte hattest"
)
_FRENCH = (
    "à a ai aie as au aucun aussi autre aux avait avec avez avons ayant c ce cela ces cet cette ceux chez ci comme"
    " comment d dans de des donc dont du elle elles en encore es est et eu eux fait faire fut il ils j je l la là le"
    " les leur leurs lui m ma mais me même mes moi mon n ne ni nos notre nous on ont ou où par parce pas peu peut plus"
    " pour pourquoi qu quand que quel quelle quelles quels qui quoi s sa sans se sera ses si son sont sur t ta te tes"
    " toi ton tous tout toute toutes très tu un une va vos votre vous y été était étaient être est"
)
_SPANISH = (
    "a al algo algunas algunos ante antes aquel aquella como con contra cual cuáles cuál cuando cuándo cómo de del"
    " desde donde dónde dos el él ella ellas ellos en entre era eran eres es esa esas ese eso esos esta está estaba"
    " están estar estas este esto estos estoy fue fueron ha había han has hasta hay he la las le les lo los más me mi"
    " mí mis mucho muy nada ni no nos nosotros nuestra nuestro o os otra otro para pero poco por porque qué que quien"
    " quién se sea ser si sí sin sobre son soy su sus también te tengo ti tiene tu tú tus un una uno unos y ya yo"
)
_ITALIAN = (
    "a abbiamo ad agli ai al alla alle allo anche avere avete aveva c che chi ci come con cosa così cui d da dagli dai"
    " dal dalla dalle dallo degli dei del dell della delle dello di dove e è ed era erano essere fa fra gli ha hai"
    " hanno ho i il in io l la le lei li lo loro lui ma me mi mia mie miei mio molto ne negli nei nel nella nelle noi"
    " non nostra nostro o ogni per perché più poi quale quali quando quanto quella quello questa queste questi questo"
    " qui se sei si sia siamo sono sta stato su sua sue sugli sui sul sulla suo suoi ti tra tu tua tuo tutti tutto un"
    " una uno v vi voi"
)
_PORTUGUESE = (
    "a à ao aos aquela aquele aquilo as às até com como da das de dela dele deles do dos e é ela elas ele eles em"
    " entre era eram essa esse esta está estão estava este eu foi foram há isso isto já la lhe lo mais mas me mesmo"
    " meu meus minha minhas muito na não nas nem no nos nós nossa nosso num numa o onde os ou para pela pelas pelo"
    " pelos por porque qual quais quando que quê quem se sem ser será seu seus só somos sou sua suas também te tem têm"
    " tenho ter teu tinha tu tua um uma umas uns você vocês"
)
_DUTCH = (
    "aan al alle als altijd andere ben bij daar dan dat de deze die dit doch doen door dus een er ge geen had hadden"
    " heb hebben hebt heeft hem het hier hij hoe hun ik in is ja je jij jou jouw jullie kan kon kun kunnen maar me"
    " mee men met mij mijn moet na naar niet niets nog nu of om omdat ons onze ook op over reeds s t te toch toen tot u"
    " uit uw van veel voor waar waarom wanneer want waren was wat we welke wel werd wie wij wil worden wordt zal ze zei"
    " zelf zich zij zijn zo zonder zou"
)
_RUSSIAN = (
    "а без был была были было быть в вам вас ведь весь во вот все всё всего вы где да даже для до его ее её ей ему если"
    " есть еще ещё же за здесь и из или им их к как какая какие какое какой ко когда кого кому кто ли меня мне мной мои"
    " мой моя мы на над нас не него нее ней нет ни них но ну о об он она они оно от по под почему при с со так такой"
    " там тебе тебя тем то тоже только ты у уже чего чем что чтобы эта эти это этого этой этот я"
)
_SWEDISH = (
    "alla allt att av blev bli blir da de dem den denna deras dess det detta dig din dina ditt du då efter ej eller en"
    " er ett från för ha hade han hans har hon honom hur här i icke in inte jag ju kan kunde man med mellan men mig min"
    " mina mitt mot mycket när ni nu någon något några och om oss på samma sedan sig sin sina sitt själv ska skulle som"
    " så till under upp ut utan vad var vara varför varit vem vi vid vilka vilken vilket vår våra är"
)
_ARABIC = (
    "أن أنا أنت أو أي أين إلى إن التي الذي الذين ألا أم أما بعد بل بين تلك ثم حتى حول حين ذلك عن عند على عليه عليها فقد"
    " في فيه فيها قبل قد كان كانت كل كم كما كنت كيف لا لكن لم لماذا لن له لها لي ليس ما ماذا متى مع من منذ منه منها نحن"
    " هذا هذه هل هم هن هنا هناك هو هي و يا"
)

EMPTY: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "arabic": frozenset(_ARABIC.split()),
        "dutch": frozenset(_DUTCH.split()),
        "english": frozenset(_ENGLISH.split()),
        "french": frozenset(_FRENCH.split()),
        "german": frozenset(_GERMAN.split()),
        "italian": frozenset(_ITALIAN.split()),
        "portuguese": frozenset(_PORTUGUESE.split()),
        "russian": frozenset(_RUSSIAN.split()),
        "spanish": frozenset(_SPANISH.split()),
        "swedish": frozenset(_SWEDISH.split()),
    }
)
