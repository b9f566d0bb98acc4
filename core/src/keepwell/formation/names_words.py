"""Words by which names are told from other words: few, and about form rather than about the world."""

# ruff: noqa: RUF001 - words of several scripts stand side by side

from __future__ import annotations

_TIMES = """monday tuesday wednesday thursday friday saturday sunday mon tue tues wed thu thur thurs fri sat sun
january
february march april may june july august september october november december jan feb mar apr jun jul aug sep sept
oct nov dec am pm utc gmt est pst cet today tomorrow yesterday tonight morning afternoon evening night spring summer
autumn fall winter weekend montag dienstag mittwoch donnerstag freitag samstag sonntag januar februar märz mai juni
juli oktober dezember heute morgen gestern abend nacht lundi mardi mercredi jeudi vendredi samedi dimanche janvier
février mars avril juin juillet août septembre octobre novembre décembre lunes martes miércoles jueves viernes
sábado domingo enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre lunedì
martedì mercoledì giovedì venerdì sabato domenica gennaio aprile maggio giugno luglio settembre ottobre dicembre"""

_FUNCTION = """i i'm i've i'd i'll me my mine myself we we're we've we'll us our you you're you've you'll your he
he's his him she
she's her it it's its they they're they've their them this that that's these those there there's here here's what
what's which who who's whose whom when where where's why how how's if then than so and but or nor yet for because
since while although though unless until after before during as at by from in into of off on onto out over to under
up with without about against between through a an the some any each every both all most many much few several no
not none never always often sometimes usually rarely also just only even still already again once twice maybe
perhaps really very quite too is isn't are aren't was wasn't were weren't be been am do don't does doesn't did
didn't done have haven't has hasn't had can can't could couldn't will won't would wouldn't shall should shouldn't
may might must let let's go going get got make made take see say said tell told ask think know want need like love
hate try use give find look keep put please thanks thank yes yeah yep no nope ok okay sure well oh ah hey hi hello
dear bye goodbye welcome sorry congrats congratulations great good nice cool wow awesome perfect lovely happy sad
bad new old first second third last next finally later now soon lately recently currently today's tomorrow's
yesterday's actually honestly basically anyway however therefore moreover meanwhile otherwise instead besides indeed
unfortunately fortunately hopefully luckily apparently clearly obviously especially generally remember remind note
notice consider imagine suppose guess hope wish feel start stop wait come call write read check choose avoid include
add remove open close turn set try enjoy everyone everybody someone somebody anyone anybody nobody everything
something anything nothing one two three four five six seven eight nine ten another other others such same own more
less least best better worse worst thing things way people person man woman guy guys kids friends work home time
life day days week month year food music coffee tea yours hers theirs ours whatever whenever wherever whoever
whether either neither overall additionally furthermore alternatively similarly likewise regarding concerning
according given based using while once plus via per for example step tip tips pro pros con cons summary conclusion
introduction overview benefits challenges option options question answer note notes warning important key main total
average ingredients instructions example examples ps p.s lol omg btw imo imho fyi asap eta rsvp ok tbh idk tldr faq
diy tv pc cd dvd id pdf url http https html css api apis sql json csv xml gps wifi wi-fi sms ai ml it hr ceo cfo cto
phd md ba bsc msc mba adhd diy pr qa ui ux"""

_FUNCTION_ELSEWHERE = """der die das den dem des ein eine einen einem einer eines und oder aber ich du er sie es
wir ihr ist sind war waren
hat haben wird kann mein meine meinen dein deine sein seine unser unsere ihre kein keine nicht nur auch noch schon
sehr hier dort wenn weil dass was wer wie wo warum ja nein bitte danke hallo gut le la les un une des du de et ou
mais je tu il elle nous vous ils elles est sont était mon ma mes ton ta tes son sa ses notre votre leur ce cette ces
qui que quoi où quand comment pourquoi oui non merci bonjour salut el los las una unos unas y o pero yo tú él ella
nosotros ellos ellas es son era mi mis tu tus su sus este esta estos estas ese esa qué quién cuándo dónde cómo por
sí gracias hola il lo gli uno e ma io lui lei noi voi loro è sono mio mia suo sua questo questa chi che cosa dove
quando come perché sì grazie ciao o os as um uma eu ele ela nós eles elas meu minha seu sua este isto quem onde como
porque sim obrigado het een en maar ik jij hij zij wij jullie zijn mijn dit dat wie wat waar hoe ja nee dank я ты он
она оно мы вы они и а но или не да нет это этот эта эти мой моя моё мои твой твоя наш ваш его её их кто что где
когда как почему в на с из от до за по у к о мне меня тебя нас вас вот там тут ещё уже очень спасибо привет
здравствуйте вчера сегодня завтра потом если"""

_PEOPLES = """english french german spanish italian portuguese dutch danish swedish norwegian finnish icelandic
polish czech
slovak hungarian romanian bulgarian greek turkish russian ukrainian chinese japanese korean vietnamese thai indian
hindi urdu bengali tamil telugu arabic hebrew persian farsi american british scottish welsh irish canadian
australian mexican brazilian argentinian african asian european western eastern northern southern latin christian
catholic protestant muslim jewish hindu buddhist christmas easter halloween thanksgiving hanukkah ramadan diwali eid
lent covid internet"""

PEOPLES = frozenset(_PEOPLES.split())
NEVER = frozenset(f"{_TIMES} {_FUNCTION} {_FUNCTION_ELSEWHERE} {_PEOPLES}".split()) | {
    f"{time}s" for time in _TIMES.split()
}
"""Words that are no names by themselves."""
BREAKS = frozenset(_TIMES.split()) | {f"{time}s" for time in _TIMES.split()} | frozenset("i i'm i've i'd i'll".split())
"""Words that are in no name at all."""
BEGINS = PEOPLES | frozenset("new los las la le el san great saint st".split())
"""Of those words, the ones that a name may begin with where a sentence does: "New York", "Los Angeles"."""

NOUNS_ARE_CAPITAL = frozenset(
    "der das dem einen ein eine und ich ist nicht mein meine habe wir mit auf für wurde sich".split()
)
"""Words of the one language that writes its nouns like names."""
OWN_NOUNS = frozenset(
    "bruder schwester mutter vater mann frau sohn tochter tante onkel oma opa freund freundin nachbar nachbarin kollege"
    " kollegin chef chefin lehrer lehrerin arzt ärztin hund katze herr".split()
)
"""Nouns of that language that stand right before a name."""
BEFORE_NAMES = frozenset("heißt heisst heiße namens called named".split())

JOINTS = frozenset("of de da del della di dos du van von der den la le las los al el bin ibn ben zu af & y".split())
"""Small words inside a name: "Vincent van Gogh", "University of Leeds", "María de la Cruz"."""

HONORIFICS = frozenset(
    "mr mrs ms miss mx dr prof professor sir dame lord lady aunt auntie aunty uncle grandma grandpa granny nana nan"
    " father mother sister brother captain judge president senator king queen prince princess saint st"
    " herr frau monsieur madame mademoiselle señor señora don doña signor signora".split()
)
KIN = frozenset(
    "sister brother mother father mum mom dad wife husband son daughter aunt uncle cousin niece nephew grandmother"
    " grandfather grandma grandpa granddaughter grandson stepmother stepfather stepsister stepbrother sibling twin"
    " mother-in-law father-in-law sister-in-law brother-in-law half-sister half-brother fiancé fiancée fiance fiancee"
    " girlfriend boyfriend partner ex".split()
)
PARENTS = frozenset("mum mom mam mama papa dad daddy mummy mommy grandma grandpa granny grandad nana".split())
"""What people call their own as by a name."""
OTHERS = frozenset(
    "friend neighbour neighbor colleague coworker co-worker boss manager mentor roommate flatmate housemate classmate"
    " teacher tutor coach student doctor dentist therapist nurse physio carer landlord landlady tenant lawyer"
    " accountant"
    " client customer dog cat puppy kitten horse parrot hamster rabbit".split()
)
BESIDE = KIN | OTHERS
"""What somebody is to who speaks."""
FROM = frozenset(
    "work school university college church yoga football choir gym accounting marketing hr sales it".split()
)
"""Where one is from whom one tells apart so: "Priya from work"."""

SPEAKS = frozenset(
    "said says told tells asked asks thinks thought loves likes hates prefers lives moved called phoned texted emailed"
    " wrote married divorced graduated wants wanted visited invited promised agreed suggested recommended mentioned"
    " moves retired studies sagt sagte wohnt meint meinte erzählt erzählte fragt fragte studiert".split()
)
"""Verbs after a word that tell that it names somebody."""
TO_PERSON = frozenset("with met meet meeting saw called phoned texted emailed married kissed hugged ask tell".split())
TO_PLACE = frozenset("in near visit visited visiting toward towards across around inside outside via".split())
MOVING = frozenset(
    "go goes going went move moves moved moving fly flies flying flew travel travels travelling travelled traveled trip"
    " drive drove driving ride train flight bus return returned back relocate relocated relocating come came live lives"
    " lived living based born".split()
)
TO_WORK = frozenset("work works worked working job role position interned intern internship employed employee".split())

PLACES = frozenset(
    "street road avenue lane square park lake river mount mountain mountains valley island islands beach bay ocean sea"
    " desert forest airport station bridge city town village county state province district castle gardens harbour"
    " harbor coast peninsula canyon falls".split()
)
ORGANISATIONS = frozenset(
    "inc ltd llc gmbh ag corp corporation company co university college school academy institute hospital clinic bank"
    " hotel restaurant café cafe bakery museum gallery library theatre theater club council ministry department"
    " association foundation society union church bookshop bistro pub bar gym labs studio studios group times".split()
)
SMALL = frozenset(
    "a an the of and or in on at to for from with by as is vs und der die das et de la le y el del".split()
)
"""Words that a title writes small."""
SAYING = frozenset(
    "say says said saying ask asks asked asking tell tells told reply replied replies answer answered shout shouted"
    " whisper whispered write wrote type typed call called mean means meant like word phrase".split()
)
