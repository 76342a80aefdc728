"""What is asked of the gate, and how it must answer: every rule, from both sides."""

from __future__ import annotations

import copy
import json
import types
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from vfxswap import trust
from vfxswap.errors import ConsentError
from vfxswap.trust import KeyRing, Role, ShotId, keys, scope
from vfxswap.trust.canonical import Envelope, dsse_bytes
from vfxswap.trust.consent import ConsentRef, Gate, Grant
from vfxswap.trust.records import ReferenceEmbeddings, SignedConsent

from .conftest import PASSPHRASE, Studio
from .office import DAY, copied_ring, list_in

Ask = Callable[[], object]
BOTH: dict[Role, str] = {"likeness": "ben", "double": "anna"}
OTHER = "urn:uuid:00000000-0000-4000-8000-000000000000"


class Asked:
    """Questions over documents that are signed once: each is answered by a grant, or by a refusal's code."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.studio = studio = Studio(root)
        studio.key("perf-ben", "performer", "ben")
        studio.key("perf-anna", "performer", "anna")
        studio.key("prod", "production", "ben", "anna")
        studio.key("prod-ended", "production", "*", not_after=studio.now)
        studio.key("prod-later", "production", "*", not_before=studio.now + DAY)
        studio.key("prod-now", "production", "*", not_before=studio.now)
        studio.key("revoker", "revocation", "*")
        studio.key("agency", "revocation", "carl")
        studio.revoke()
        self.ben, self.anna = studio.consent("ben"), studio.consent("anna")
        self.any = [studio.consent(name, models="any") for name in ("ben", "anna")]
        self.questions: dict[str, tuple[str, Ask, str]] = {}
        self._granted()
        self._refused_by_records()
        self._refused_by_signatures()
        self._refused_by_lists()
        self._refused_by_origin()
        self._refused_by_grants()
        self._refused_by_shots()

    def add(self, name: str, code: str, ask: Ask, says: str = "") -> None:
        """A question, the code of its refusal ("" for a grant), and what the refusal's line holds."""
        self.questions[name] = (code, ask, says)

    def ask(self, *consents: Path, **changes: Any) -> Ask:
        """The question whether anna's face may be replaced by ben's, or something else that is changed."""
        return partial(self.grant, *consents, **changes)

    def grant(self, *consents: Path, ring: Path | None = None, **changes: Any) -> Grant:
        studio = self.studio
        request = {"shot": studio.shot, "performers": BOTH, "model_sha256": studio.model, "use": "swap", **changes}
        return Gate(KeyRing.load(ring or studio.ring_folder), consents, clock=studio.clock()).authorize(**request)

    def anna_with(self, **changes: Any) -> Path:
        return self.studio.consent("anna", **changes)

    def ring(self, name: str, change: Callable[[Path], None]) -> Path:
        folder = copied_ring(self.studio, name)
        change(folder)
        return folder

    def listed(self, name: str, **changes: Any) -> Path:
        return self.ring(name, lambda folder: list_in(self.studio, folder, **changes))

    # --------------------------------------------------------------------------------------------- granted

    def _granted(self) -> None:
        good, studio = (self.ben, self.anna), self.studio
        for use in ("train", "swap", "publish"):
            self.add(f"granted: {use}", "", self.ask(*good, use=use))
        self.add("granted: any model", "", self.ask(*self.any, model_sha256="0" * 64))
        self.add("granted: training has no model", "", self.ask(*good, use="train", model_sha256=None))
        first, last = self.anna_with(not_before=studio.now), self.anna_with(not_after=studio.now + DAY / 86400)
        self.add("granted: on the first moment", "", self.ask(self.ben, first))
        self.add("granted: on the last moment", "", self.ask(self.ben, last))
        due = self.anna_with(delete_model_by=studio.now + DAY)
        self.add("granted: before the model has to go", "", self.ask(self.ben, due))
        signed = studio.consent("anna", signers=["prod-ended", "perf-ben", "perf-anna", "prod"],
                                roles=["likeness", "double"], delete_model_by=studio.now + DAY)  # fmt: skip
        renderer = keys.PrivateKey.load(studio.key("render", "render", "*"), passphrase=PASSPHRASE)
        envelope = Envelope.read(signed).signed_by(kid="render", key=renderer.secret, kind="vfxswap.consent/1")
        trust.write_record(signed, envelope.to_json())
        self.add("granted: what a grant says", "", lambda: is_(
            [(ref.role, ref.performer, ref.kids, ref.delete_model_by)
             for ref in self.grant(self.ben, signed).consents],
            [("likeness", "ben", ("perf-ben", "prod"), None),
             ("double", "anna", ("perf-anna", "prod"), studio.now + DAY)]))  # fmt: skip
        alone = studio.gate(signed)
        self.add("granted: what a faceset's grant says", "", lambda: is_(
            alone.authorize_faceset(performer="anna", shot=studio.shot).performers, {"likeness": "anna"}))  # fmt: skip
        new = self.anna_with(signers=["perf-anna", "prod-now"])
        self.add("granted: in the first moment of a key", "", self.ask(self.ben, new))
        self.add("granted: one of several", "", self.ask(self.anna_with(scope=["x/y/z"]), *good))
        self.add("granted: another signed too", "", self.ask(
            self.ben, self.anna_with(signers=["prod-ended", "perf-ben", "perf-anna", "prod"])))  # fmt: skip
        self.add("granted: the list is five minutes from the future", "", self.ask(
            *good, ring=self.listed("skew", issued=studio.now + 5 * DAY / 1440)))  # fmt: skip
        self.add("granted: a key is called like a list", "", self.ask(*good, ring=self.ring("called", lambda ring: (
            shutil_copy(self._key_called("revocations-x"), ring / "revocations-x.pub.json")))))  # fmt: skip
        read = [SignedConsent.read(path) for path in good]
        self.add("granted: consents as read", "", lambda: Gate(studio.ring, read, clock=studio.clock()).authorize(
            shot=studio.shot, use="train", performers=BOTH))  # fmt: skip
        self.add("granted: a training is of no model", "", lambda: is_(
            self.grant(*good, use="train").model_sha256, None))  # fmt: skip
        whole = ConsentRef("double", "anna", OTHER, "0" * 64, (), studio.now, reference=ReferenceEmbeddings(
            model_sha256="1" * 64, file_sha256="2" * 64, threshold=0.5))  # fmt: skip
        self.add("granted: what is recorded of a consent", "", lambda: is_(whole.entry(), {
            "id": OTHER, "sha256": "0" * 64, "delete_model_by": "2026-06-01T12:00:00Z",
            "reference_sha256": "2" * 64}))  # fmt: skip
        plain = ConsentRef("double", "anna", OTHER, "0" * 64, ())
        self.add("granted: what little is recorded", "", lambda: is_(plain.entry(), {"id": OTHER, "sha256": "0" * 64}))
        secret = keys.PrivateKey.load(studio.private("prod"), passphrase=PASSPHRASE)
        message = dsse_bytes("text/plain", b"x")
        for name, signature, kid, problem in (
            ("good", secret.sign_bytes(message), "prod", ""),
            ("of other bytes", secret.sign_bytes(dsse_bytes("text/plain", b"y")), "prod", "does not fit"),
            ("by nobody known", secret.sign_bytes(message), "nobody", "not in the key ring"),
        ):
            self.add(f"granted: what a signature of bytes is worth, {name}", "", partial(
                self._worth, kid, signature, message, problem))  # fmt: skip
        self.add("granted: somebody else's list is stale", "", self.ask(*good, ring=self._two_lists("elsewhere")))
        old = {"id": OTHER, "sha256": "0" * 64}
        self.add("granted: made under others", "", self.ask(*good, origin=[old]))
        self.add("granted: made under one that still holds", "", self.ask(
            *good, origin=[{**old, "delete_model_by": "2026-06-02T00:00:00Z"}]))  # fmt: skip
        people = {"likeness": "ben", "double": "anna+ben"}
        both = studio.consent("ben", roles=["double"])
        self.add("granted: two performers in a role", "", self.ask(*good, both, performers=people))
        for performer in BOTH.values():
            self.add(f"granted: a faceset of {performer}", "", self._faceset(performer))

    def _worth(self, kid: str, signature: bytes, message: bytes, problem: str) -> None:
        found = self.studio.ring.check_bytes(kid, signature, message=message, now=self.studio.now).problem
        is_((problem in found, bool(found)), (True, bool(problem)))

    def _key_called(self, kid: str) -> Path:
        self.studio.key(kid, "performer", "nobody")
        path = self.studio.ring_folder / f"{kid}.pub.json"
        return path.rename(self.root / path.name)

    def _two_lists(self, name: str) -> Path:
        def change(folder: Path) -> None:
            shutil_copy(folder / "revocations.json", folder / "revocations-own.json")
            list_in(self.studio, folder, kid="agency", issued=self.studio.now - 30 * DAY)

        return self.ring(name, change)

    def _faceset(self, performer: str, **changes: Any) -> Ask:
        gate = self.studio.gate(self.ben, self.anna)
        return lambda: Grant.require_performer(
            gate.authorize_faceset(performer=performer, shot=self.studio.shot, **changes), performer
        )

    # --------------------------------------------------------------------------------------------- refused

    def _refused_by_records(self) -> None:
        studio = self.studio
        broken: dict[str, tuple[str, dict[str, Any]]] = {
            "expired": ("VS-CON-003", {"not_after": studio.now}),
            "not yet": ("VS-CON-003", {"not_before": studio.now + DAY / 86400}),
            "had to be deleted": ("VS-CON-003", {"delete_model_by": studio.now}),
            "role": ("VS-CON-007", {"roles": ["likeness"]}),
            "use": ("VS-CON-008", {"uses": ["train", "publish"]}),
            "scope": ("VS-CON-009", {"scope": ["show2/*/*", "show1/sq011/*", "show1/sq010/sh021"]}),
            "excluded": ("VS-CON-009", {"scope_exclude": ["show1/SQ010/*"]}),
            "model": ("VS-CON-010", {"models": ["cd" * 32]}),
            "no model listed": ("VS-CON-010", {"models": None}),
        }
        for name, (code, changes) in broken.items():
            path = self.anna_with(**changes)
            self.add(f"refused: {name}", code, self.ask(self.ben, path))
        for model in (None, "any", "AB" * 32):
            self.add(f"refused: model {model}", "VS-CON-010", self.ask(*self.any, model_sha256=model))
        self.add("refused: publish needs a model", "VS-CON-010", self.ask(*self.any, use="publish", model_sha256=""))
        for name, says, consents in (
            ("no consent", "no consent was given for performer ben (likeness);", []),
            ("one of two", "none of the given consents is of performer anna (double);", [self.ben]),
        ):
            self.add(f"refused: {name}", "VS-CON-001", self.ask(*consents), says)
        self.add("refused: no consent for a faceset", "VS-CON-001", lambda: studio.gate().authorize_faceset(
            performer="ben", shot=studio.shot), "performer ben;")  # fmt: skip
        narrow = self.anna_with(scope=["a/b/c", "d/e/f"], scope_exclude=[])
        self.add("refused: scope, in words", "VS-CON-009", self.ask(self.ben, narrow), ": a/b/c d/e/f (")
        out = self.anna_with(scope_exclude=["a/b/c", "*/sq010/*"])
        self.add("refused: excluded, in words", "VS-CON-009", self.ask(self.ben, out), "without a/b/c */sq010/* (")
        self.add("refused: half of a role", "VS-CON-001", self.ask(
            self.ben, self.anna, performers={"likeness": "ben", "double": "anna+carl"}))  # fmt: skip
        self.add("refused: one role", "VS-CON-001", self.ask(
            self.ben, self.anna, performers={"likeness": "ben"}), "performers for likeness only")  # fmt: skip
        self.add("refused: no role", "VS-CON-001", self.ask(self.ben, self.anna, performers={}), "for no role only")
        self.add("refused: unknown use", "VS-CON-008", self.ask(self.ben, self.anna, use="view"), "unknown use 'view'")
        wide = self.anna_with(scope=["SHOW1/sq010/*"])
        self.add("refused: scope in capitals", "VS-CON-009", self.ask(self.ben, wide), str(wide))
        equals = [self.anna_with(scope=[f"{which}/x/y"]) for which in ("first", "second")]
        self.add("refused: the first of equals is told", "VS-CON-009", self.ask(self.ben, *equals), "first/x/y")
        self.add("refused: performer", "VS-CON-011", self.ask(performers={"likeness": "*", "double": "anna"}))
        worse: tuple[dict[str, Any], ...] = ({"scope": ["x/y/z"]}, {"models": []}, {"signers": ["prod"]})
        bad = [self.anna_with(**changes) for changes in worse]
        self.add("refused: the best reason is told", "VS-CON-010", self.ask(self.ben, *bad))

    def _refused_by_signatures(self) -> None:
        studio = self.studio
        studio.key("forger", "performer", "*", trusted=False)
        for signers, says in {
            ("prod",): "signature of: performer (",
            ("perf-anna",): "signature of: production (",
            ("perf-ben", "prod"): "performer [perf-ben: the key may not sign for performer anna]",
            ("perf-anna", "prod-ended"): "production [prod-ended: the key is valid 2026-01-01..2026-06-01]",
            ("perf-anna", "prod-later"): "production [prod-later: the key is valid 2026-06-02",
            ("forger", "prod"): "performer [forger: the key is not in the key ring]",
            ("perf-anna", "perf-ben"): "signature of: production",
        }.items():
            path = self.anna_with(signers=signers)
            self.add(f"refused: signed by {' '.join(signers)}", "VS-CON-002", self.ask(self.ben, path), says)
        tampered = self.anna_with(scope=["show2/*/*"])
        tampered.write_text(tampered.read_text().replace("show2/", "show1/"))
        self.add("refused: tampered", "VS-CON-002", self.ask(self.ben, tampered))
        forged = self.anna_with(signers=["forger", "prod"])
        forged.write_text(forged.read_text().replace('"forger"', '"perf-anna"'))
        self.add("refused: forged", "VS-CON-002", self.ask(self.ben, forged))

    def _refused_by_lists(self) -> None:
        good, studio = (self.ben, self.anna), self.studio
        withdrawn = [{"id": rule_id(self.anna), "revoked": "2026-05-01T00:00:00Z", "reason": ""}]

        def refused(name: str, code: str, ring: Path) -> None:
            self.add(f"refused: {name}", code, self.ask(*good, ring=ring))

        refused("withdrawn", "VS-CON-004", self.listed("withdrawn", revoked=withdrawn))
        refused("no list", "VS-CON-005", self.ring("none", lambda ring: (ring / "revocations.json").unlink()))
        refused("list of another's", "VS-CON-005", self.listed("agency", kid="agency"))
        for kid, says in (("prod", "prod: a production key may not sign it"), ("prod-ended", "the key is valid 2026-")):
            self.add(f"refused: list signed by {kid}", "VS-CON-005", self.ask(
                *good, ring=self.listed(kid, kid=kid)), says)  # fmt: skip
        refused("list from the future", "VS-CON-005", self.listed("future", issued=studio.now + DAY))
        refused("stale list", "VS-CON-006", self.listed("stale", issued=studio.now - 7 * DAY))

        def twice(ring: Path) -> None:
            value = json.loads((ring / "revocations.json").read_text())
            (ring / "revocations.json").write_text(json.dumps({**value, "signatures": value["signatures"] * 2}))

        self.add("refused: list signed twice", "VS-CON-005", self.ask(
            *good, ring=self.ring("twice", twice)), "it needs exactly one signature")  # fmt: skip

        def emptied(ring: Path) -> None:
            list_in(self.studio, ring, revoked=withdrawn)
            value = json.loads((ring / "revocations.json").read_text())
            value["payload"]["revoked"] = []
            (ring / "revocations.json").write_text(json.dumps(value))

        refused("list was changed", "VS-CON-005", self.ring("emptied", emptied))
        refused("no ring", "VS-CON-013", studio.root / "nowhere")

        def renamed(ring: Path) -> None:
            (ring / "prod.pub.json").rename(ring / "other.pub.json")

        def doubled(ring: Path) -> None:
            text = (ring / "prod.pub.json").read_text()
            (ring / "twin.pub.json").write_text(text.replace('"prod"', '"twin"'))

        refused("a key under another name", "VS-CON-013", self.ring("renamed", renamed))
        refused("a key twice", "VS-CON-013", self.ring("doubled", doubled))

    def _refused_by_origin(self) -> None:
        good = (self.ben, self.anna)
        gone = self.listed("gone", revoked=[{"id": OTHER, "revoked": "2026-05-01T00:00:00Z", "reason": ""}])
        record = {"id": OTHER, "sha256": "0" * 64}
        self.add("granted: another was withdrawn", "", self.ask(*good, ring=gone))
        self.add("refused: made under one withdrawn", "VS-CON-004", self.ask(*good, ring=gone, origin=[record]))
        other = {"id": rule_id(self.anna), "sha256": "0" * 64}
        self.add("refused: made under other words", "VS-CON-012", self.ask(*good, origin=[record, other]))
        for due, code in (("2026-06-01T12:00:00Z", "VS-CON-003"), ("tomorrow", "VS-CON-012")):
            self.add(f"refused: made under one due {due}", code, self.ask(
                *good, use="train", origin=[{**record, "delete_model_by": due}]))  # fmt: skip
        self.add("refused: adding to a faceset made under one withdrawn", "VS-CON-004", lambda: Gate(
            KeyRing.load(gone), good, clock=self.studio.clock()).authorize_faceset(
                performer="ben", shot=self.studio.shot, origin=[record]))  # fmt: skip

    def _refused_by_grants(self) -> None:
        studio = self.studio
        record = {"id": OTHER, "sha256": "0" * 64}
        grant = self.grant(self.ben, self.anna, origin=[record])
        train = self.grant(self.ben, self.anna, use="train")
        held: dict[str, Any] = {"use": "swap", "performers": BOTH, "model_sha256": studio.model, "shot": studio.shot}
        self.add("granted: what it is for", "", lambda: Grant.require(grant, **held))
        self.add("granted: any shot", "", lambda: Grant.require(grant, **{**held, "shot": None}))
        self.add("granted: its own consents", "", lambda: Grant.require(grant, **held, origin=[
            record, {"id": rule_id(self.anna)}]))  # fmt: skip
        for name, value in (("use", "publish"), ("performers", {"likeness": "ben"}), ("model_sha256", "cd" * 32),
                            ("shot", ShotId("a", "b", "c")), ("origin", [{"id": OTHER[:-1] + "1"}])):  # fmt: skip
            changed = {**held, name: value}
            self.add(f"refused: grant of another {name}", "VS-CON-014", partial(Grant.require, grant, **changed))
        self.add("refused: a grant for nobody", "VS-CON-014", lambda: Grant.require(
            grant, **{**held, "performers": {}}), "not for nobody")  # fmt: skip
        fake: Any = types.SimpleNamespace(**{name: getattr(grant, name) for name in ("use", "performers", "shot")})
        empty = object.__new__(Grant)
        others: dict[str, Any] = {"look-alike": fake, "empty": empty, "nothing": None}
        for name, one in others.items():
            self.add(f"refused: {name}", "VS-CON-014", partial(Grant.require, one, **held))
        hand: dict[str, Any] = {
            "shot": studio.shot,
            "consents": grant.consents,
            "model_sha256": studio.model,
            "checked_at": studio.now,
        }
        self.add("refused: made by hand", "VS-CON-014", lambda: Grant(use="swap", **hand), "made by hand")
        self.add("refused: copied", "VS-CON-014", lambda: copy.copy(grant), "does not leave the process")
        own = studio.gate(self.ben).authorize_faceset(performer="ben", shot=studio.shot)
        nothing: list[dict[str, str]] = []
        for name, given, performer, origin in (
            ("a faceset of another", own, "anna", nothing), ("a faceset by a swap", grant, "ben", nothing),
            ("a faceset by a training", train, "ben", nothing), ("a faceset by nothing", empty, "ben", nothing),
            ("a faceset made under others", own, "ben", [record]),
        ):  # fmt: skip
            self.add(f"refused: {name}", "VS-CON-014", partial(
                Grant.require_performer, given, performer, origin=origin))  # fmt: skip

    def _refused_by_shots(self) -> None:
        for text in ("../sq010/sh020", "a/b", "a/b/c/d", "a/b/c d", "a/b/-c", "a/b/" + "c" * 129, "a/b/c\n"):
            self.add(f"refused: shot {text[:20]!r}", "VS-CON-011", partial(ShotId.parse, text))
        for text, good in (("a/b/c", True), ("*/*/*", True), ("a/b", False), ("a/b/c/d", False), ("a/b/[c]", False),
                           ("a/b/" + "*" * 128, True), ("a/b/" + "c" * 129, False)):  # fmt: skip
            self.add(f"granted: is a scope {text[:20]}", "", partial(is_, scope.is_scope, good, text))
        self.add("granted: a long shot", "", lambda: ShotId.parse("a/b/" + "c" * 128))
        for folder, said in (("", "unnamed"), ("_x y", "x-y")):
            self.add(f"granted: folder {folder!r}", "", partial(
                is_, lambda name: ShotId.local(name).shot, said, folder))  # fmt: skip

    # ---------------------------------------------------------------------------------------------- answers

    def answer(self, name: str) -> str:
        """ "" for a yes, the code of a refusal, or what is wrong with it."""
        _, ask, says = self.questions[name]
        try:
            ask()
        except ConsentError as refused:
            whole = refused.hint and "\n" not in str(refused) and says in str(refused)
            return refused.code if whole else f"says {refused}"
        except Exception as error:  # noqa: BLE001 - what a fault makes of the gate is not known
            return type(error).__name__
        return ""

    def wrong(self) -> list[str]:
        """The questions that are not answered as they must be."""
        return [name for name, (code, *_) in self.questions.items() if self.answer(name) != code]

    def notices(self) -> bool:
        """Whether any answer is wrong."""
        return any(self.answer(name) != code for name, (code, *_) in self.questions.items())


def is_(found: object, wanted: object, *arguments: object) -> None:
    """Raise ValueError unless `found`, or what it returns for the arguments, is what is wanted."""
    if callable(found):
        found = found(*arguments)
    if found != wanted:
        raise ValueError(f"{found!r} is not {wanted!r}")


def rule_id(path: Path) -> str:
    found: str = json.loads(path.read_text())["payload"]["id"]
    return found


def shutil_copy(source: Path, target: Path) -> None:
    target.write_bytes(source.read_bytes())
