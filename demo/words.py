"""The names and texts of the demo's data set, written by hand: fictional organisations, plausible courses."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Organisation:
    """A supplier, partner or customer. Its mail lives under `domain`.example."""

    name: str
    domain: str
    language: str
    legal_name: str
    street: str
    postal_code: str
    city: str
    country: str
    size: str = "small"


@dataclass(frozen=True, slots=True)
class School:
    """A supplier, what it teaches, and in which two forms."""

    organisation: Organisation
    forms: tuple[str, str]
    subjects: tuple[str, ...]
    topics: str
    places: tuple[str, ...]
    category: str = "learning"
    hands_on: bool = False
    """Cannot be learnt from a screen."""


@dataclass(frozen=True, slots=True)
class Partner:
    """A partner: how it pays, and how many people it has of its own."""

    organisation: Organisation
    kind: str
    wallet: bool
    credits: int
    people: int


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer, the partner that serves it, and how many people it has."""

    organisation: Organisation
    people: int
    partner: str = ""
    vat_known: bool = True


SCHOOLS = (
    School(
        Organisation(
            "Veilig & Vakbekwaam", "veiligvakbekwaam", "nl", "Veilig & Vakbekwaam Trainingen B.V.",
            "Isolatorweg 14", "3542 AS", "Utrecht", "NL", "large",
        ),
        ("basis", "herhaling"),
        (
            "Veilig werken op hoogte", "Heftruck rijden", "Bedrijfshulpverlening", "VCA voor de bouwplaats",
            "Werken in besloten ruimten", "Reachtruck rijden", "Hijsen en aanslaan van lasten",
            "NEN 3140 voldoende onderricht persoon", "Werken met de hoogwerker", "Omgaan met gevaarlijke stoffen",
        ),
        "veiligheid|techniek",
        ("Utrecht", "Rotterdam", "Zwolle", "Venlo"),
        hands_on=True,
    ),
    School(
        Organisation(
            "Leerhuis Amstel", "leerhuisamstel", "nl", "Leerhuis Amstel B.V.",
            "Amsteldijk 231", "1079 LK", "Amsterdam", "NL",
        ),
        ("de eerste stappen", "verdieping"),
        (
            "Leidinggeven aan professionals", "Feedback geven en ontvangen", "Onderhandelen zonder ruzie",
            "Presenteren met rust", "Projectmatig werken", "Meer doen met minder tijd", "Conflicten hanteren",
            "Coachende gesprekken voeren", "Teams in verandering", "Vergaderen met resultaat",
        ),
        "leiderschap|communicatie",
        ("Amsterdam", "Haarlem", "Amersfoort"),
    ),
    School(
        Organisation(
            "De Cijferaars", "cijferaars", "nl", "De Cijferaars Opleidingen B.V.",
            "Grote Voort 5", "8041 AM", "Zwolle", "NL",
        ),
        ("praktijkdag", "in drie dagen"),
        (
            "Boekhouden voor ondernemers", "Btw in de praktijk", "Salarisadministratie", "De jaarrekening lezen",
            "Begroten en bijsturen", "Debiteuren beheren", "Excel voor financiële mensen", "Interne controle",
            "Kostprijzen berekenen", "Factureren aan het buitenland",
        ),
        "financiën|administratie",
        ("Zwolle", "Apeldoorn", "Groningen"),
    ),
    School(
        Organisation(
            "ZorgScholing Oost", "zorgscholingoost", "nl", "Stichting ZorgScholing Oost",
            "Roomweg 60", "7523 BT", "Enschede", "NL",
        ),
        ("basistraining", "opfristraining"),
        (
            "Medicatie veilig toedienen", "Tillen en transfers", "Dementie begrijpen", "Wondzorg",
            "Zorg in de laatste levensfase", "Omgaan met agressie", "Reanimatie en AED", "Infectiepreventie",
            "Methodisch rapporteren", "Vallen voorkomen",
        ),
        "zorg|veiligheid",
        ("Enschede", "Deventer", "Doetinchem"),
        hands_on=True,
    ),
    School(
        Organisation(
            "Code & Koffie", "codekoffie", "nl", "Code & Koffie B.V.",
            "Torenallee 20", "5617 BC", "Eindhoven", "NL",
        ),
        ("voor beginners", "voor gevorderden"),
        (
            "Programmeren in Python", "Vragen stellen in SQL", "Samenwerken met Git", "Werken met containers",
            "Toegankelijke websites bouwen", "Software testen", "Draaien in de cloud", "Gegevens zichtbaar maken",
            "Veilig ontwikkelen", "API's ontwerpen",
        ),
        "informatica|techniek",
        ("Eindhoven", "Tilburg", "Nijmegen"),
    ),
    School(
        Organisation(
            "Taalkamer", "taalkamer", "nl", "Taalkamer V.O.F.",
            "Laan van Meerdervoort 412", "2563 BE", "Den Haag", "NL",
        ),
        ("niveau A", "niveau B"),
        (
            "Engels spreken", "Duits spreken", "Italiaans spreken", "Frans spreken", "Spaans spreken",
            "Zakelijk Engels schrijven", "Engels voor de zorg", "Nederlands op de werkvloer",
            "Nederlands voor anderstaligen", "Duits aan de telefoon",
        ),
        "talen",
        ("Den Haag", "Leiden", "Delft"),
    ),
    School(
        Organisation(
            "Fit op het Werk", "fitophetwerk", "nl", "Fit op het Werk B.V.",
            "Velperplein 8", "6811 AG", "Arnhem", "NL",
        ),
        ("training", "terugkomdag"),
        (
            "Beter slapen", "Omgaan met werkdruk", "Gezond zitten en staan", "Aandacht en rust",
            "Gezond eten op het werk", "Stoppen met roken", "Bewegen onder werktijd", "Grip op je geld",
            "Werk en mantelzorg", "Fit in ploegendienst",
        ),
        "vitaliteit|gezondheid",
        ("Arnhem", "Ede", "Apeldoorn"),
        "vitality",
    ),
    School(
        Organisation(
            "Accademia Cantiere Sicuro", "cantieresicuro", "it", "Accademia Cantiere Sicuro S.r.l.",
            "Via Padova 118", "20131", "Milano", "IT", "large",
        ),
        ("corso base", "aggiornamento"),
        (
            "Sicurezza sul lavoro", "Primo soccorso aziendale", "Addetto antincendio",
            "Conduzione del carrello elevatore", "Lavori in quota",
            "Igiene degli alimenti", "Preposto alla sicurezza", "Rappresentante dei lavoratori",
            "Movimentazione manuale dei carichi", "Rischio elettrico",
        ),
        "sicurezza",
        ("Milano", "Bergamo", "Brescia", "Torino"),
        hands_on=True,
    ),
    School(
        Organisation(
            "Scuola Arno", "scuolaarno", "it", "Scuola Arno S.r.l.", "Borgo San Frediano 42", "50124", "Firenze", "IT",
        ),
        ("primo livello", "secondo livello"),
        (
            "Parlare in pubblico", "Gestire il tempo", "Guidare un gruppo", "Negoziare bene", "Servire il cliente",
            "Lavorare in squadra", "Gestire i conflitti", "Ascoltare e capire", "Vendere consigliando",
            "Scrivere per lavoro",
        ),
        "comunicazione|leadership",
        ("Firenze", "Pisa", "Arezzo"),
    ),
    School(
        Organisation(
            "Studio Numeri Chiari", "numerichiari", "it", "Studio Numeri Chiari S.r.l.",
            "Via Saragozza 77", "40123", "Bologna", "IT",
        ),
        ("fondamenti", "avanzato"),
        (
            "Fogli di calcolo", "Contabilità generale", "Controllo di gestione", "Leggere il bilancio",
            "Fatturazione elettronica", "Protezione dei dati personali", "Analisi dei dati", "Paghe e contributi",
            "IVA nelle operazioni con l'estero", "Gestione dei crediti",
        ),
        "finanza|amministrazione",
        ("Bologna", "Modena", "Parma"),
    ),
    School(
        Organisation(
            "Quayside Skills", "quaysideskills", "en", "Quayside Skills Ltd",
            "14 Sir John Rogerson's Quay", "D02 E8K4", "Dublin", "IE", "large",
        ),
        ("foundation", "practitioner"),
        (
            "Project management", "Working in agile teams", "Line management", "Difficult conversations",
            "Managing stakeholders", "Writing reports people read", "Strategic thinking", "Inclusive leadership",
            "Presenting with confidence", "Leading change",
        ),
        "leadership|projects",
        ("Dublin", "Galway", "Amsterdam"),
    ),
    School(
        Organisation(
            "Northgate Compliance", "northgatecompliance", "en", "Northgate Compliance Training Ltd",
            "5 Lapp's Quay", "T12 W6RN", "Cork", "IE",
        ),
        ("essentials", "refresher"),
        (
            "Data protection", "Preventing money laundering", "Health and safety for managers", "Fire warden",
            "Manual handling", "Safe work with screens", "Speaking up at work", "Information security",
            "Internal audit", "Knowing your suppliers",
        ),
        "compliance|safety",
        ("Cork", "Limerick", "Dublin"),
    ),
)  # fmt: skip

PLATFORM_COURSES: tuple[tuple[str, str, str, str, int], ...] = (
    # kind, English, Dutch, Italian, credits
    ("elearning", "Information security for everyone", "Informatiebeveiliging voor iedereen",
     "Sicurezza informatica per tutti", 2),
    ("elearning", "Privacy at work", "Privacy op het werk", "Privacy sul lavoro", 2),
    ("elearning", "Giving feedback", "Feedback geven", "Dare un riscontro", 1),
    ("elearning", "Writing clear e-mails", "Heldere e-mails schrijven", "Scrivere e-mail chiare", 1),
    ("elearning", "Working with spreadsheets", "Werken met rekenbladen", "Lavorare con i fogli di calcolo", 2),
    ("elearning", "Your first days in a new job", "De eerste dagen in een nieuwe baan",
     "I primi giorni in un nuovo lavoro", 1),
    ("elearning", "Healthy work at a screen", "Gezond beeldschermwerk", "Lavorare bene al videoterminale", 1),
    ("elearning", "Recognising phishing", "Phishing herkennen", "Riconoscere il phishing", 1),
    ("elearning", "Planning your week", "Je week plannen", "Pianificare la settimana", 1),
    ("elearning", "Handling complaints", "Omgaan met klachten", "Gestire i reclami", 2),
    ("elearning", "Fire safety in the office", "Brandveiligheid op kantoor", "Sicurezza antincendio in ufficio", 1),
    ("elearning", "Words that include everyone", "Taal waarin iedereen zich herkent", "Parole che includono", 1),
    ("elearning", "Sustainability in daily work", "Duurzaamheid in het dagelijks werk",
     "Sostenibilità nel lavoro quotidiano", 2),
    ("elearning", "Working with artificial intelligence", "Werken met kunstmatige intelligentie",
     "Lavorare con l'intelligenza artificiale", 3),
    ("online", "Leading a team for the first time", "Voor het eerst leidinggeven",
     "Guidare un gruppo per la prima volta", 5),
    ("online", "Presenting online", "Online presenteren", "Presentare online", 4),
    ("online", "Coaching conversations", "Coachende gesprekken", "Colloqui di coaching", 5),
    ("online", "The basics of project work", "De basis van projectmatig werken", "Le basi del lavoro per progetti", 4),
    ("classroom", "First aid at work", "Eerste hulp op het werk", "Primo soccorso sul lavoro", 8),
    ("classroom", "Train the trainer", "Train de trainer", "Formare i formatori", 12),
)  # fmt: skip

PLATFORM_PLACES = {
    "en": ("Dublin", "Amsterdam", "London"),
    "nl": ("Utrecht", "Zwolle", "Rotterdam"),
    "it": ("Milano", "Bologna", "Roma"),
}

SUMMARIES = {
    ("nl", "classroom"): "Een dag oefenen met een ervaren trainer, in een kleine groep, met uw eigen voorbeelden.",
    ("nl", "online"): "Live via het scherm, met korte opdrachten tussendoor en een naslag die u houdt.",
    ("nl", "elearning"): "In eigen tempo, in korte stukken, met aan het eind een toets.",
    ("it", "classroom"): "In aula con un docente esperto, in piccoli gruppi, con esercitazioni su casi reali.",
    ("it", "online"): "In diretta a distanza, con brevi esercizi e materiale che resta a disposizione.",
    ("it", "elearning"): "Al proprio ritmo, in brevi lezioni, con un test alla fine.",
    ("en", "classroom"): "A day of practice with an experienced trainer, in a small group, on cases you bring.",
    ("en", "online"): "Live on screen, with short exercises in between and notes to keep.",
    ("en", "elearning"): "At your own pace, in short pieces, with a test at the end.",
}

DESCRIPTIONS = {
    "nl": "U leert wat u de volgende ochtend kunt toepassen. Vooraf vragen we wat u wilt bereiken; achteraf krijgt u "
    "een verslag van wat u heeft geoefend. Koffie, lunch en lesmateriaal zijn inbegrepen waar wij u ontvangen.",
    "it": "Si impara ciò che serve il giorno dopo. Prima del corso chiediamo gli obiettivi; alla fine consegniamo "
    "una sintesi di quanto è stato esercitato. Materiale e pause sono compresi dove il corso è in presenza.",
    "en": "You learn what you can use the next morning. Beforehand we ask what you want to achieve; afterwards you "
    "get a summary of what you practised. Coffee, lunch and materials are included wherever we host you.",
}

PARTNERS = (
    Partner(
        Organisation(
            "Noorderlicht Opleidingen", "noorderlicht", "nl", "Noorderlicht Opleidingen B.V.",
            "Hereweg 95", "9721 AA", "Groningen", "NL", "large",
        ),
        "default", True, 6_000, 1_300,
    ),
    Partner(
        Organisation(
            "Zuiderzon Academie", "zuiderzon", "nl", "Zuiderzon Academie B.V.",
            "Boschstraat 21", "6211 AS", "Maastricht", "NL",
        ),
        "default", True, 1_500, 500,
    ),
    Partner(
        Organisation(
            "Maasdal Ontwikkeling", "maasdal", "nl", "Maasdal Ontwikkeling B.V.",
            "Wilhelminakade 3", "3072 AP", "Rotterdam", "NL",
        ),
        "default", True, 800, 300,
    ),
    Partner(
        Organisation(
            "Lumen Learning", "lumen", "en", "Lumen Learning Ltd", "22 Eyre Square", "H91 T9CK", "Galway", "IE",
        ),
        "default", True, 900, 300,
    ),
    Partner(
        Organisation(
            "Ponte Formazione", "ponte", "it", "Ponte Formazione S.r.l.", "Via Mazzini 30", "37121", "Verona", "IT",
        ),
        "default", True, 700, 300,
    ),
    Partner(
        Organisation(
            "Kestrel People Development", "kestrel", "en", "Kestrel People Development Ltd",
            "8 George's Street", "X91 PD30", "Waterford", "IE",
        ),
        "default", True, 12, 250,  # soon used up: its wallet shows what happens then
    ),
    Partner(
        Organisation(
            "Vrijzicht Leren", "vrijzicht", "nl", "Coöperatie Vrijzicht Leren U.A.",
            "Nieuwestad 110", "8911 CX", "Leeuwarden", "NL",
        ),
        "default", False, 0, 100,
    ),
    Partner(
        Organisation(
            "Bottega dei Mestieri", "bottega", "it", "Bottega dei Mestieri S.c.a.r.l.",
            "Via Garibaldi 9", "16124", "Genova", "IT",
        ),
        "whitelabel", False, 0, 100,
    ),
)  # fmt: skip

CUSTOMERS = (
    Customer(
        Organisation(
            "Zilverberg Techniek", "zilverberg", "nl", "Zilverberg Techniek B.V.",
            "Boompjes 40", "3011 XB", "Rotterdam", "NL", "large",
        ),
        200,
    ),
    Customer(
        Organisation(
            "Brouwerij De Eik", "brouwerijdeeik", "nl", "Brouwerij De Eik B.V.",
            "Molenstraat 12", "5341 GC", "Oss", "NL",
        ),
        40,
    ),
    Customer(
        Organisation(
            "Officine Valdarno", "officinevaldarno", "it", "Officine Valdarno S.p.A.",
            "Via dell'Industria 4", "52025", "Montevarchi", "IT", "large",
        ),
        40,
    ),
    Customer(
        Organisation(
            "Larkfield Logistics", "larkfield", "en", "Larkfield Logistics Ltd",
            "Unit 7, Docklands Park", "V94 X5P2", "Limerick", "IE", "large",
        ),
        20, vat_known=False,  # its VAT id is still to come: invoices to it are refused until then
    ),
    Customer(
        Organisation(
            "Zorggroep De Linde", "zorggroepdelinde", "nl", "Stichting Zorggroep De Linde",
            "Lindelaan 2", "9401 GD", "Assen", "NL", "large",
        ),
        600, "Noorderlicht Opleidingen",
    ),
    Customer(
        Organisation(
            "Bouwbedrijf Terpstra & Vos", "terpstravos", "nl", "Bouwbedrijf Terpstra & Vos B.V.",
            "Oostergoweg 15", "8932 PG", "Leeuwarden", "NL",
        ),
        250, "Noorderlicht Opleidingen",
    ),
    Customer(
        Organisation(
            "Waterrijk", "waterrijk", "nl", "Waterrijk Beheer B.V.",
            "Raadhuisplein 1", "6041 KZ", "Roermond", "NL", "large",
        ),
        350, "Zuiderzon Academie",
    ),
    Customer(
        Organisation(
            "Vishandel Noordkop", "noordkop", "nl", "Vishandel Noordkop B.V.",
            "Zuidstraat 50", "1781 CK", "Den Helder", "NL",
        ),
        60, "Maasdal Ontwikkeling",
    ),
    Customer(
        Organisation(
            "Cantieri Adriatici", "cantieriadriatici", "it", "Cantieri Adriatici S.p.A.",
            "Lungomare Vanvitelli 18", "60121", "Ancona", "IT", "large",
        ),
        150, "Ponte Formazione",
    ),
    Customer(
        Organisation(
            "Merriweather Hotels", "merriweather", "en", "Merriweather Hotels Ltd",
            "1 Eglinton Street", "H91 RK7P", "Galway", "IE", "large",
        ),
        140, "Kestrel People Development",
    ),
)  # fmt: skip
