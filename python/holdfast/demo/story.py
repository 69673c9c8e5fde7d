"""Company-X, Factory-Y, Technician-Z and a hundred widgets; what the story claims, it checks."""

from __future__ import annotations

import asyncio
import json
import stat
from typing import TYPE_CHECKING

from holdfast.demo.mqtt import Credentials, Hub, RefusedError, send
from holdfast.demo.papers import make_expired, make_server_certificate, make_stolen
from holdfast.demo.stage import DemoError, Stage, free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from holdfast.demo.narrator import Narrator

WIDGETS_COUNT = 100
HUB_NAME = "localhost"
# Long enough for the hub to notice what another process committed: it looks five times a second.
NOTICE_SECONDS_MAX = 5.0


def tell(narrator: Narrator) -> None:
    """Tell the whole story.

    Raises:
        DemoError: something is not as told.
    """
    narrator.open(
        "holdfast: a hub lets in devices it has never seen, because it trusts one CA certificate",
        "Real keys, real TLS, real processes, in a temporary directory that is removed at the end.",
    )
    with Stage(narrator) as stage:
        _Story(stage, narrator).tell()
    narrator.close(f"That was the story: {narrator.elapsed_seconds:.0f} s, nothing left running, nothing left behind.")


class _Story:
    def __init__(self, stage: Stage, narrator: Narrator) -> None:
        self.stage = stage
        self.say = narrator
        self.directory = stage.directory
        self.hub = Hub(name=HUB_NAME, port=free_port(), certificate=self.directory / "hub" / "tls.pem")
        self.widgets = [f"widget-{number:03}" for number in range(1, WIDGETS_COUNT + 1)]

    def tell(self) -> None:
        for chapter in (
            self.make_the_root,
            self.sign_the_factories,
            self.make_widgets,
            self.register,
            self.knock_too_early,
            self.prove,
            self.walk_in,
            self.read_the_stream,
            self.turn_impostors_away,
            self.close_down,
        ):
            chapter()

    # ── the chapters ───────────────────────────────────────────────────────────────────────────────────────────────

    def make_the_root(self) -> None:
        self.say.chapter("Company-X makes a root CA", "Its key never leaves Company-X.")
        self._folder("company-x")
        self.stage.holdfast('authority root --name "Company-X Root" --out company-x/company-x')
        mode = stat.S_IMODE((self.directory / "company-x/company-x.key").stat().st_mode)
        self.stage.check("the key file is its owner's alone (0600)", holds=mode == 0o600, found=oct(mode))

    def sign_the_factories(self) -> None:
        self.say.chapter(
            "Company-X signs Factory-Y, Factory-Y signs Technician-Z",
            "Each makes its own key and sends only a request; only certificates come back.",
        )
        self._sign_intermediate("Factory-Y", under="company-x", path_len=1)
        self._sign_intermediate("Technician-Z", under="factory-y", path_len=0)
        keys = sorted(str(path.relative_to(self.directory)) for path in self.directory.rglob("*.key"))
        custodians = ["company-x", "factory-y", "technician-z"]
        self.stage.check(
            "there is one private key in each custodian's folder, and no other",
            holds=keys == [f"{name}/{name}.key" for name in custodians],
            found=keys,
        )

    def make_widgets(self) -> None:
        self.say.chapter(
            f"Technician-Z signs {WIDGETS_COUNT} widgets",
            "Each widget has made its own key; nobody lists it at the hub.",
        )
        self._folder("widgets")
        (self.directory / "widgets.txt").write_text("".join(f"{name}\n" for name in self.widgets))
        self.stage.holdfast("authority request --devices-from widgets.txt --out widgets")
        self.stage.holdfast("authority issue --ca technician-z/technician-z.pem --csr widgets --out widgets")
        lengths = {self._credentials(name).chain.read_bytes().count(b"BEGIN CERTIFICATE") for name in self.widgets}
        self.stage.check(
            f"all {WIDGETS_COUNT} files hold the widget's certificate, Technician-Z's and Factory-Y's, and no root",
            holds=lengths == {3},
            found=lengths,
        )

    def register(self) -> None:
        self.say.chapter(
            "The operator adds Company-X's root to the hub",
            "A certificate is public: anyone could have uploaded it. So the hub asks for proof of the key.",
        )
        self._folder("hub")
        make_server_certificate(HUB_NAME, self.hub.certificate.parent)
        (self.directory / "holdfast.toml").write_text(
            f'hub = "{HUB_NAME}"\nstate_dir = "hub/state"\nmqtt_port = {self.hub.port}\n'
            'certificate = "hub/tls.pem"\nprivate_key = "hub/tls.key"\n'
        )
        self.stage.holdfast("ca add company-x/company-x.pem --name company-x")
        self.stage.holdfast("ca challenge company-x --out challenge.json")
        challenge = json.loads((self.directory / "challenge.json").read_text())
        self.stage.check(
            f"the challenge is a random code, {challenge['code'][:14]}…, for this hub and this certificate only",
            holds=challenge["code"].startswith("HFPOP1-") and challenge["hub"] == HUB_NAME,
            found=challenge,
        )

    def knock_too_early(self) -> None:
        self.say.chapter("The hub opens, and a widget knocks too early", "The CA is added, but nothing is proven yet.")
        self.stage.start_hub(self.hub.port)
        first = self.widgets[0]
        self._refused(
            f"{first}, under a CA without proof", "CONNACK 5", "unknown_issuer", self._credentials(first), first
        )

    def prove(self) -> None:
        self.say.chapter(
            "Company-X proves that it holds the key",
            "It signs a certificate whose only name is the code. The hub goes on running meanwhile.",
        )
        self.stage.holdfast(
            f"authority prove {_ca('company-x')} --hub {HUB_NAME} --tenant default"
            " --challenge challenge.json --out proof.pem"
        )
        self.stage.holdfast("ca prove company-x --certificate proof.pem")
        listed = json.loads(self.stage.holdfast("ca list --json", show=False))
        states = {record["name"]: record["state"] for record in listed}
        self.stage.check("the hub lists company-x as proven", holds=states == {"company-x": "proven"}, found=states)

    def walk_in(self) -> None:
        self.say.chapter(
            f"{WIDGETS_COUNT} widgets that nobody has ever seen walk in",
            "Over TLS, each with its own chain, all at once; each proves its key and sends one message over MQTT.",
        )
        began = self.say.elapsed_seconds
        asyncio.run(self._wait_for_notice())
        seconds = self.say.elapsed_seconds - began
        self.stage.check(
            f"the running hub noticed the proof: {self.widgets[0]} is let in", holds=seconds < NOTICE_SECONDS_MAX
        )
        with self.say.progress("connecting", WIDGETS_COUNT - 1) as advance:
            acknowledged = asyncio.run(self._send_from(self.widgets[1:], advance))
        self.stage.check(
            f"so are the other {WIDGETS_COUNT - 1}, at once, and every message was acknowledged",
            holds=acknowledged == self.widgets[1:],
            found=f"{len(acknowledged)} acknowledgements",
        )

    def read_the_stream(self) -> None:
        self.say.chapter("What they sent is stored", "Acknowledged means: on disk.")
        events = [json.loads(line) for line in self.stage.holdfast("stream tail --json").splitlines()]
        found = sorted((event["device_id"], event["payload"]["widget"]) for event in events)
        self.stage.check(
            f"the stream holds {WIDGETS_COUNT} messages, exactly one from each widget",
            holds=found == [(name, name) for name in self.widgets],
            found=f"{len(events)} messages",
        )

    def turn_impostors_away(self) -> None:
        self.say.chapter(
            "Impostors knock", "Each is turned away: what the device is told, and what the hub's log says."
        )
        victim = self._credentials("widget-001")
        self._folder("impostors")
        impostors = self.directory / "impostors"
        self._device_of_another_root("company-q")
        self._refused("a CA that was never registered", "CONNACK 5", "unknown_issuer", self._papers("company-q"))
        self._device_of_another_root("company-u")
        self.stage.holdfast("ca add company-u/company-u.pem --name company-u", show=False)
        self.stage.holdfast("ca challenge company-u --out company-u/challenge.json", show=False)
        self._refused("a CA that was added, but not proven", "CONNACK 5", "unknown_issuer", self._papers("company-u"))
        expired = make_expired("late-1", self.directory / "technician-z/technician-z", impostors)
        self._refused("a certificate that ended yesterday", "CONNACK 5", "expired", expired, "late-1")
        stolen = make_stolen(victim, impostors)
        self._refused(
            "a stolen certificate without its key", "TLS alert decrypt_error", "possession_failed", stolen, "widget-001"
        )
        self._forge_the_tree()
        self._refused("a forged chain: right names, other keys", "CONNACK 5", "bad_signature", self._papers("forger"))
        self._refused(
            "widget-001 with the client id of widget-002", "CONNACK 5", "client_id_mismatch", victim, "widget-002"
        )
        self._sign_intermediate("Factory-W", under="company-x", path_len=0, show=False)
        self.stage.holdfast(f"authority issue {_ca('factory-w')} --device widget-001 --out factory-w", show=False)
        pinned = self._papers("factory-w", "widget-001")
        self._refused("another factory's widget-001", "CONNACK 5", "identity_pinned", pinned, "widget-001")
        self._refused("no certificate at all", "CONNACK 5", "no_certificate", None, "widget-001")

    def close_down(self) -> None:
        self.say.chapter("Afterwards", "The hub is as it was, and honest widgets still walk in.")
        asyncio.run(self._send("widget-002"))
        count = len(self.stage.holdfast("stream tail --json", show=False).splitlines())
        self.stage.check(
            "widget-002 came back and sent; the impostors left nothing in the stream",
            holds=count == WIDGETS_COUNT + 1,
            found=f"{count} messages",
        )
        status = self.stage.stop_hub()
        self.stage.check("the hub drained and ended by itself (exit 0)", holds=status == 0, found=f"exit {status}")

    # ── what the chapters are made of ──────────────────────────────────────────────────────────────────────────────

    def _folder(self, name: str) -> Path:
        folder = self.directory / name
        folder.mkdir()
        return folder

    def _sign_intermediate(self, name: str, *, under: str, path_len: int, show: bool = True) -> None:
        own = name.lower()
        self._folder(own)
        self.stage.holdfast(f"authority request --name {name} --out {own}/{own}", show=show)
        self.stage.holdfast(
            f"authority sign {_ca(under)} --csr {own}/{own}.csr --path-len {path_len} --out {own}/{own}.pem", show=show
        )

    def _device_of_another_root(self, company: str) -> None:
        self._folder(company)
        self.stage.holdfast(f'authority root --name "{company} Root" --out {company}/{company}', show=False)
        self.stage.holdfast(f"authority issue {_ca(company)} --device impostor-1 --out {company}", show=False)

    def _forge_the_tree(self) -> None:
        """The names of Company-X's tree, one by one, under keys of the forger's own."""
        forger = self._folder("forger")
        names = {"company-x": "Company-X Root", "factory-y": "Factory-Y", "technician-z": "Technician-Z"}
        run = self.stage.holdfast
        run(f'authority root --name "{names["company-x"]}" --out forger/company-x', show=False)
        for above, own, path_len in (("company-x", "factory-y", 1), ("factory-y", "technician-z", 0)):
            run(f"authority request --name {names[own]} --out forger/{own}", show=False)
            by = f"--ca forger/{above}.pem --path-len {path_len}"
            run(f"authority sign {by} --csr forger/{own}.csr --out forger/{own}.pem", show=False)
        run(f"authority issue --ca forger/technician-z.pem --device impostor-1 --out {forger.name}", show=False)

    def _credentials(self, widget: str) -> Credentials:
        return self._papers("widgets", widget)

    def _papers(self, folder: str, device_id: str = "impostor-1") -> Credentials:
        place = self.directory / folder
        return Credentials(chain=place / f"{device_id}.pem", key=place / f"{device_id}.key")

    async def _send(self, widget: str) -> None:
        payload = json.dumps({"widget": widget, "temperature": 21.5}).encode()
        try:
            await send(self.hub, self._credentials(widget), widget, [payload])
        except RefusedError as error:
            message = (
                f"{widget} should have been let in, but was told: {error}; the log says {self.stage.next_refusal()}"
            )
            raise DemoError(message) from error

    async def _wait_for_notice(self) -> None:
        """Let the first widget knock until it is let in: another process than the hub committed the proof."""
        began = self.say.elapsed_seconds
        while True:
            try:
                await self._send(self.widgets[0])
            except DemoError:
                if self.say.elapsed_seconds - began > NOTICE_SECONDS_MAX:
                    raise
            else:
                return

    async def _send_from(self, widgets: list[str], advance: Callable[[], None]) -> list[str]:
        """All `widgets` at once; answers those whose message was acknowledged, in their order."""

        async def one(widget: str) -> str:
            await self._send(widget)
            advance()
            return widget

        return await asyncio.gather(*map(one, widgets))

    def _refused(
        self, who: str, told: str, code: str, credentials: Credentials | None, device_id: str = "impostor-1"
    ) -> None:
        """Knock, and hold what the device was told and what the log says against what must be."""
        try:
            asyncio.run(send(self.hub, credentials, device_id, [b"{}"]))
        except RefusedError as refusal:
            found = (str(refusal), self.stage.next_refusal())
        else:
            message = f"let in: {who}"
            raise DemoError(message)
        if found != (told, code):
            message = f"{who}: wanted {told} and {code}, found {found[0]} and {found[1]}"
            raise DemoError(message)
        self.say.refused(who, told, code)


def _ca(name: str) -> str:
    return f"--ca {name}/{name}.pem"
