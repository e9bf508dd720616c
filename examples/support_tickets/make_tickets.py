"""Write tickets.csv and planted.csv from the sentences in phrases/.

    python make_tickets.py            write both files
    python make_tickets.py --check    exit 1 if the files differ from what would be written

Needs nothing but the standard library. The seed is fixed: the same phrases give the same bytes.
"""

from __future__ import annotations

import argparse
import csv
import datetime as dt
import io
import random
import re
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
SEED = 20260930
FIRST_DAY = dt.date(2026, 1, 2)
LAST_DAY = dt.date(2026, 9, 30)
N_CUSTOMERS = 270
P_DETAIL = 0.8  # a second sentence on the same topic
INTENTS = (
    "refund",
    "delivery_delay",
    "login_problem",
    "billing_question",
    "cancel_subscription",
    "product_defect",
    "change_address",
    "feature_request",
)
CHANNELS = ("email", "web", "chat", "phone")
HEADER = ("ticket_id", "date", "customer", "channel", "subject", "text", "intent")
MONTHS = "January February March April May June July August September October November December"

# What hurried people type, word by word.
TYPOS = (
    ": "
    "receive:recieve received:recieved definitely:definately address:adress account:acount "
    "because:becuase separate:seperate tomorrow:tommorow subscription:subscribtion "
    "delivery:delivary password:pasword really:realy believe:beleive until:untill "
    "again:agian please:plese which:wich the:teh would:woud waiting:wating business:buisness "
    "replacement:replacment cancel:cancle parcel:parcell could:coud invoice:invoce "
    "package:pakage courier:currier website:webiste different:diffrent happened:happend "
    "yesterday:yesteday weeks:wekks their:there they're:their you're:your it's:its "
    "too:to than:then accidentally:accidently money:mony order:oder ordered:orderd "
    "customer:costumer payment:payement charged:chraged broken:borken kettle:kettel "
    "bought:brought should:shoud through:trough before:befor always:allways"
)
CHAT_WORDS = {"you": "u", "your": "ur", "please": "pls", "because": "cos", "are": "r"}
# Words that may lose their capital after "Hello,".
SMALL_STARTS = (
    "The My When How Can Could Please We You Your Is It's What Why Where There Since After Do Did "
    "This That One Would Has Have Who Which Does Am At If No Not Only Just Our"
)
# One-word edits for near duplicates.
SWAPS = {
    "please": "kindly",
    "parcel": "package",
    "package": "parcel",
    "really": "truly",
    "still": "yet",
    "just": "only",
    "only": "just",
    "also": "too",
    "money": "cash",
    "want": "need",
    "need": "want",
    "like": "love",
    "month": "week",
    "weeks": "days",
    "days": "weeks",
}
MISSPELT_LABELS = (
    ("refund", "refnud"),
    ("refund", "Refund "),
    ("delivery_delay", "delivery delay"),
    ("login_problem", "Login_Problem"),
    ("billing_question", "billing_questoin"),
    ("cancel_subscription", "cancel-subscription"),
    ("product_defect", "product_defct"),
    ("change_address", "change_adress"),
)
EMPTY_LABELS = ("delivery_delay", "billing_question", "feature_request")
EMPTY_TEXTS = (
    ("", "no characters"),
    ("", "no characters"),
    ("", "no characters"),
    (" ", "one space"),
    ("   ", "three spaces"),
    ("\u00a0", "a no-break space"),
)


@dataclass(eq=False)
class Customer:
    id: str
    name: str
    channels: tuple[int, ...]  # weights, in the order of CHANNELS
    sloppy: float  # chance that a word with a known typo gets it
    weight: int  # how often this customer writes


@dataclass(eq=False)
class Ticket:
    date: dt.date
    customer: Customer
    channel: str
    subject: str
    text: str
    intent: str
    fault: str = ""
    detail: str = ""  # may hold {line}, the line of the partner
    partner: Ticket | None = None
    whole_line: bool = False  # a copy that keeps the ticket_id of its partner
    ticket_id: str = ""
    line: int = 0


def read_lines(name: str) -> list[str]:
    lines = (HERE / "phrases" / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.strip() and not line.startswith("#")]


def read_sections(name: str) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for line in read_lines(name):
        if re.fullmatch(r"\[\w+\]", line):
            current = sections.setdefault(line[1:-1], [])
        else:
            current.append(line)
    return sections


class Deck:
    """Deals the items of a list in random order and reshuffles only when all were dealt."""

    def __init__(self, items: list[str], rng: random.Random) -> None:
        self.items, self.rng = items, rng
        self.left: list[str] = []

    def deal(self) -> str:
        if not self.left:
            self.left = self.rng.sample(self.items, len(self.items))
        return self.left.pop()


class Maker:
    """Turns hand-written sentences into tickets."""

    def __init__(self, seed: int = SEED) -> None:
        self.rng = random.Random(seed)
        self.shared = self.decks("shared.txt")
        self.details = self.decks("details.txt")
        self.subjects = self.decks("subjects.txt")
        self.typos = dict(pair.split(":") for pair in TYPOS.split())
        self.customers = self.make_customers()

    def decks(self, name: str) -> dict[str, Deck]:
        return {key: Deck(items, self.rng) for key, items in read_sections(name).items()}

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def make_customers(self) -> list[Customer]:
        habits = ((6, 2, 1, 1), (2, 6, 1, 0), (1, 2, 7, 0), (2, 1, 1, 5), (3, 3, 2, 1))
        numbers = sorted(self.rng.sample(range(100, 1000), N_CUSTOMERS))
        return [
            Customer(
                id=f"C{number:04d}",
                name=self.shared["name"].deal(),
                channels=self.rng.choice(habits),
                sloppy=self.rng.choices((0.0, 0.06, 0.15, 0.3), (55, 25, 15, 5))[0],
                weight=self.rng.choice((1, 2, 2, 3, 3, 4, 5, 7)),
            )
            for number in numbers
        ]

    def pick_customer(self) -> Customer:
        return self.rng.choices(self.customers, [c.weight for c in self.customers])[0]

    def pick_date(self, text: str) -> dt.date:
        """Any day, but near a month if the text names one."""
        named = [i for i, month in enumerate(MONTHS.split(), 1) if re.search(rf"\b{month}\b", text)]
        while True:
            day = FIRST_DAY + dt.timedelta(self.rng.randrange((LAST_DAY - FIRST_DAY).days + 1))
            if named and named[-1] <= 10 and abs(day.month - named[-1]) > 1:
                continue
            if day.weekday() < 5 or self.chance(0.4):
                return day

    def pick_channel(self, who: Customer, text: str) -> str:
        if text[0].islower():
            return "chat"
        if re.search(r"\b(ringing|calling)\b", text):
            return "phone"
        channel = self.rng.choices(CHANNELS, who.channels)[0]
        if channel == "phone" and re.search(r"attached|\bwrit|@", text):
            return "email"
        return channel

    def fill(self, text: str, who: Customer) -> str:
        text = text.replace("{name}", who.name)
        return re.sub(r"\{order\}", lambda _: f"BW-{self.rng.randrange(20000, 70000)}", text)

    def misspell(self, text: str, rate: float, chat: bool) -> str:
        def change(match: re.Match[str]) -> str:
            word = match[0]
            small = word.lower()
            if chat and small in CHAT_WORDS and self.chance(2 * rate):
                return CHAT_WORDS[small]
            if small in self.typos and self.chance(rate if len(word) > 3 else rate / 4):
                return self.typos[small].capitalize() if word[0].isupper() else self.typos[small]
            if len(word) > 5 and word.isalpha() and self.chance(rate / 8):
                i = self.rng.randrange(1, len(word) - 2)
                return word[:i] + word[i + 1] + word[i] + word[i + 2 :]
            return word

        return re.sub(r"(?<![\w-])[A-Za-z']+(?![\w-])", change, text) if rate else text

    def compose(self, core: str, intent: str, channel: str, who: Customer) -> str:
        """Put a greeting, more sentences and a sign-off around a core sentence."""
        room = 4 - max(1, len(re.findall(r"[.!?]+(?= |$)", core)))
        problem = intent != "feature_request"
        before: list[str] = []
        after: list[str] = []
        if room and self.chance(0.9 if len(core.split()) < 9 else P_DETAIL):
            after.append(self.details[intent].deal())
            room -= 1
            if room and self.chance(P_DETAIL / 4):
                after.append(self.details[intent].deal())
                room -= 1
        if room and self.chance(0.22):
            kinds = ["context", "context"]
            kinds += ["context_written"] if channel in ("email", "web") else []
            kinds += ["context_problem"] if problem else []
            sentence = self.shared[self.rng.choice(kinds)].deal()
            (before if self.chance(0.4) else after).append(sentence)
            room -= 1
        if room and self.chance(0.1):
            topic = self.rng.choice([other for other in INTENTS if other != intent])
            after.append(self.shared[f"aside_{topic}"].deal())
            room -= 1
        if room and channel != "chat" and self.chance(0.15):
            kind = "closing_cross" if problem and self.chance(0.4) else "closing"
            after.append(self.shared[kind].deal())
        sentences = [s if s[-1] in ".!?" else s + "." for s in [*before, core, *after]]
        body = " ".join(sentences)
        p_open, kind = {
            "email": (0.6, "opening"),
            "web": (0.25, "opening"),
            "chat": (0.35, "opening_chat"),
            "phone": (0.4, "opening_phone"),
        }[channel]
        if self.chance(p_open):
            opening = self.shared[kind].deal()
            if opening[-1] not in ",.!?":
                opening += self.rng.choice((",", "", "!"))
            if opening[-1] == "," and body.split()[0] in SMALL_STARTS.split() and self.chance(0.6):
                body = body[0].lower() + body[1:]
            body = f"{opening} {body}"
        if self.chance({"email": 0.55, "web": 0.25}.get(channel, 0.0)):
            body = f"{body} {self.shared['signoff'].deal()}"
        if channel == "chat" and self.chance(0.25):
            body = f"{body} {self.shared['closing_chat'].deal()}"
        return body

    def roughen(self, text: str, channel: str, who: Customer) -> str:
        """Typos, lost capitals and the like, by customer and channel."""
        if channel == "phone":  # typed by the person who took the call
            return text
        chat = channel == "chat"
        text = self.misspell(text, who.sloppy * (1.3 if chat else 1.0), chat)
        if who.sloppy >= 0.15 and self.chance(0.5):
            text = text.replace("'", "")
        if self.chance(0.5 if chat else who.sloppy / 2):
            text = re.sub(r"\bbw-", "BW-", text.lower())
        elif self.chance(0.012):
            text = text.upper()
        if chat and self.chance(0.6):
            text = text.removesuffix(".")
        elif text.endswith((".", "?")) and self.chance(0.05):
            text += text[-1] * self.rng.randrange(1, 3) if text[-1] == "?" else ".."
        return text

    def subject(self, intent: str, channel: str, who: Customer) -> str:
        if channel in ("chat", "phone"):
            return ""
        deck = self.subjects["any" if self.chance(0.4) else intent]
        subject = self.fill(deck.deal(), who)
        return subject.lower() if self.chance(who.sloppy) else subject

    def ticket(self, core: str, intent: str, plain: bool = False) -> Ticket:
        who = self.pick_customer()
        channel = self.pick_channel(who, core)
        text = core
        if not plain:
            text = self.fill(self.compose(core, intent, channel, who), who)
            text = self.roughen(text, channel, who)
        return Ticket(
            date=self.pick_date(core),
            customer=who,
            channel=channel,
            subject=self.subject(intent, channel, who),
            text=self.fill(text, who).strip(),
            intent=intent,
        )


def drop_commas(text: str) -> str:
    return text.replace(",", "")


def end_loudly(text: str) -> str:
    return text.rstrip(".!?") + "!!!"


def swap_word(text: str) -> str:
    for match in re.finditer(r"[a-z]+", text):
        if match[0] in SWAPS:
            return text[: match.start()] + SWAPS[match[0]] + text[match.end() :]
    return text


# (what the detail says, the edit, least words, how often)
EDITS: tuple[tuple[str, Callable[[str], str], int, int], ...] = (
    ("all capitals", str.upper, 8, 2),
    ("all small letters", str.lower, 8, 3),
    ("commas dropped", drop_commas, 8, 3),
    ("other punctuation at the end", end_loudly, 8, 2),
    ("one word changed", swap_word, 32, 5),
)


class Planter:
    """Adds the faults. No ticket gets two of them, and no partner of a fault has one itself."""

    def __init__(self, maker: Maker, tickets: list[Ticket]) -> None:
        self.maker, self.rng, self.tickets = maker, maker.rng, tickets
        self.free = self.rng.sample(tickets, len(tickets))

    def take(self, fits: Callable[[Ticket], bool]) -> Ticket:
        found = next(ticket for ticket in self.free if fits(ticket))
        self.free.remove(found)
        return found

    def copy(self, ticket: Ticket, fault: str, detail: str, other_customer: bool) -> Ticket:
        days = self.rng.choice((0, 1, 2, 5, 9, 20))
        who = ticket.customer
        while other_customer and who is ticket.customer:
            who = self.maker.pick_customer()
        made = replace(
            ticket,
            date=min(ticket.date + dt.timedelta(days), LAST_DAY),
            customer=who,
            fault=fault,
            detail=f"{detail}, {'other' if other_customer else 'same'} customer",
            partner=ticket,
        )
        self.tickets.append(made)
        return made

    def duplicates(self) -> None:
        for i in range(12):
            source = self.take(lambda t: t.channel != "phone" and len(t.text.split()) >= 8)
            made = self.copy(source, "exact_duplicate", "same text as line {line}", i >= 8)
            if i < 4:
                made.date, made.whole_line = source.date, True
                made.detail = "whole line equals line {line}"

    def near_duplicates(self) -> None:
        count = 0
        for what, edit, least, times in EDITS:
            for _ in range(times):
                source = self.take(
                    lambda t, edit=edit, least=least: (
                        t.channel != "phone"
                        and len(t.text.split()) >= least
                        and edit(t.text) != t.text
                    )
                )
                detail = f"{what} in the text of line {{line}}"
                made = self.copy(source, "near_duplicate", detail, count % 2 == 1)
                made.text = edit(source.text)
                count += 1

    def conflicts(self, rows: list[list[str]]) -> None:
        for i, (right, other, text) in enumerate(rows):
            source = self.maker.ticket(text, right, plain=True)
            self.tickets.append(source)
            made = self.copy(source, "conflicting_label", "", i % 3 == 2)
            made.intent = other
            if i % 2:
                source.intent, made.intent = other, right
            made.detail = (
                f"same text as line {{line}}, {source.intent} there and {made.intent} here, "
                f"right is {right}"
            )

    def labels(self) -> None:
        for right, wrong in MISSPELT_LABELS:
            ticket = self.take(lambda t, right=right: t.intent == right)
            ticket.intent, ticket.fault = wrong, "misspelt_label"
            ticket.detail = f"{wrong!r} stands for {right}"
        for right in EMPTY_LABELS:
            ticket = self.take(lambda t, right=right: t.intent == right)
            ticket.intent, ticket.fault, ticket.detail = "", "empty_label", f"right is {right}"

    def empty_texts(self) -> None:
        for text, detail in EMPTY_TEXTS:
            intent = self.rng.choice(INTENTS)
            who = self.maker.pick_customer()
            channel = self.rng.choice(("web", "email"))
            subject = self.maker.subject(intent, channel, who)
            date = self.maker.pick_date("")
            self.tickets.append(
                Ticket(date, who, channel, subject, text, intent, "empty_text", detail)
            )

    def mislabels(self, rows: list[list[str]]) -> None:
        for right, wrong, text in rows:
            ticket = self.maker.ticket(text, right, plain=True)
            ticket.intent, ticket.fault = wrong, "clear_mislabel"
            ticket.detail = f"{wrong} here, right is {right}"
            self.tickets.append(ticket)

    def personal_data(self, rows: list[list[str]]) -> None:
        for intent, kind, value, text in rows:
            ticket = self.maker.ticket(text, intent, plain=True)
            ticket.fault, ticket.detail = "personal_data", f"{kind}: {value}"
            self.tickets.append(ticket)


def build() -> list[Ticket]:
    """All tickets in file order, with ids and line numbers."""
    maker = Maker()
    tickets = [
        maker.ticket(core, intent) for intent in INTENTS for core in read_lines(f"{intent}.txt")
    ]
    texts = {
        key: [[field.strip() for field in row.split(" | ")] for row in rows]
        for key, rows in read_sections("planted.txt").items()
    }
    planter = Planter(maker, tickets)
    planter.labels()
    planter.near_duplicates()
    planter.duplicates()
    planter.conflicts(texts["conflicting_label"])
    planter.mislabels(texts["clear_mislabel"])
    planter.personal_data(texts["personal_data"])
    planter.empty_texts()
    place = {id(ticket): maker.rng.random() for ticket in tickets}
    tickets.sort(key=lambda t: (t.date, place[id(t.partner or t)], t.partner is not None))
    number = 10400
    for line, ticket in enumerate(tickets, 2):
        ticket.line = line
        number += maker.rng.choice((1, 1, 1, 2, 3))
        same = ticket.whole_line and ticket.partner
        ticket.ticket_id = same.ticket_id if same else f"T{number}"
    return tickets


def to_csv(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().encode("utf-8")


def render(tickets: list[Ticket]) -> dict[str, bytes]:
    rows = [
        (t.ticket_id, t.date.isoformat(), t.customer.id, t.channel, t.subject, t.text, t.intent)
        for t in tickets
    ]
    planted = [
        (str(t.line), t.fault, t.detail.replace("{line}", str(t.partner.line if t.partner else 0)))
        for t in tickets
        if t.fault
    ]
    return {
        "tickets.csv": to_csv(HEADER, rows),
        "planted.csv": to_csv(("line", "fault", "detail"), planted),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="Write tickets.csv and planted.csv.")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    args = parser.parse_args()
    tickets = build()
    status = 0
    for name, data in render(tickets).items():
        path = HERE / name
        if not args.check:
            path.write_bytes(data)
        elif not path.exists() or path.read_bytes() != data:
            print(f"{name} is not what make_tickets.py writes", file=sys.stderr)
            status = 1
    if not args.check:
        print(f"{len(tickets)} tickets")
        for fault, count in sorted(Counter(t.fault for t in tickets if t.fault).items()):
            print(f"{count:5d} {fault}")
    return status


if __name__ == "__main__":
    sys.exit(main())
