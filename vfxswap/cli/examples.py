"""An example for each command, below its `--help`. Every one is a test: its options exist, and some are run."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

EXAMPLES: Final = MappingProxyType(
    {
        "doctor": ("vfxswap doctor", "vfxswap doctor --keyring keys --output /mnt/renders --json"),
        "demo": ("vfxswap demo --output demo_output", "vfxswap demo --material lesson"),
        "track plate": (
            "vfxswap track plates/sh010.####.exr --output sh010.vfxtrack",
            "vfxswap track plates/sh010.%V.####.exr --view all --output sh010.%V.vfxtrack --faceset facesets/anna",
        ),
        "track fix": (
            "vfxswap track fix sh010.vfxtrack --frame 1012 --set move=3,-2",
            "vfxswap track fix sh010.vfxtrack --list",
        ),
        "track report": ("vfxswap track report sh010.vfxtrack", "vfxswap track report sh010.vfxtrack --json"),
        "track export": (
            "vfxswap track export sh010.vfxtrack --to nuke-tracker --output sh010_tracker.nk",
            "vfxswap track export sh010.vfxtrack --to stmap --output stmap.####.exr --crop 1024",
        ),
        "measure": (
            "vfxswap measure plates/sh010.####.exr --track sh010.vfxtrack --model ben.vfxmodel --output sh010.vfxshot "
            "--shot show/seq/sh010 --consent ben.json --consent anna.json --keyring keys",
        ),
        "swap": (
            "vfxswap swap plates/sh010.####.exr --model ben.vfxmodel --output out/sh010.####.exr --layers ingredients "
            "--shot show/seq/sh010 --consent ben.json --consent anna.json --keyring keys --save-job job.json",
            "vfxswap swap plates/sh010.####.exr --model ben.vfxmodel --output out/sh010.####.exr --frames 1010-1020 "
            "--matte roto/hand.####.exr:A,holdout,feather=4 --consent ben.json --consent anna.json",
        ),
        "run": ("vfxswap run job.json", "vfxswap run job.json --frames 1001-1010 --events -"),
        "qc": ("vfxswap qc out/sh010.####.exr --plate plates/sh010.####.exr --output qc.json",),
        "review": ("vfxswap review out/sh010.####.exr --plate plates/sh010.####.exr --output sh010.html",),
        "faceset build": (
            "vfxswap faceset build plates/test.####.exr stills,stills --performer P-0042 --output facesets/ben "
            "--shot show/seq/tests --consent ben.json --keyring keys",
        ),
        "faceset sheet": ("vfxswap faceset sheet facesets/ben --sort blur",),
        "faceset edit": ("vfxswap faceset edit facesets/ben --drop 'plate.10*' --note 'hand in front'",),
        "faceset report": ("vfxswap faceset report facesets/ben sh010.vfxtrack --output report.html",),
        "train": (
            "vfxswap train models/ben --likeness facesets/ben --double facesets/anna --preset hd --minutes 600 "
            "--shot show/seq/sh010 --consent ben.json --consent anna.json --keyring keys",
        ),
        "retrain": (
            "vfxswap retrain models/ben --report qc.json --plate plates/sh010.####.exr --likeness facesets/ben "
            "--double facesets/anna --minutes 30 --consent ben.json --consent anna.json",
        ),
        "export": (
            "vfxswap export models/ben --output ben.vfxmodel --checkpoint best --consent ben.json --consent anna.json",
        ),
        "otio": (
            "vfxswap otio cut.otio",
            "vfxswap otio cut.otio --clip talk --model ben.vfxmodel --output out --result cut_swapped.otio "
            "--consent ben.json --consent anna.json",
        ),
        "farm submit": (
            "vfxswap farm submit job.json --to openjd --dry-run",
            "vfxswap farm submit job.json --to deadline --chunk 24 --pool vfx",
        ),
        "farm train": (
            "vfxswap farm train models/ben --likeness facesets/ben --double facesets/anna --minutes 600 --to openjd",
            "vfxswap farm train models/ben --likeness facesets/ben --double facesets/anna --device cuda --processes 4"
            " --to deadline --group gpu --dry-run",
        ),
        "farm work": ("vfxswap farm work swap job.json --frames 1001-1012",),
        "hosts install": ("vfxswap hosts install nuke", "vfxswap hosts install resolve"),
        "hosts uninstall": ("vfxswap hosts uninstall nuke",),
        "hosts path": ("vfxswap hosts path nuke",),
        "bench": (
            "vfxswap bench swap --json swap.json",
            "vfxswap bench quality --shot-data shots/talk --model ben.vfxmodel --output strips "
            "--consent ben.json --consent anna.json",
        ),
        "consent keygen": (
            "vfxswap consent keygen keys --kid ben --role performer --performer P-0042",
            "vfxswap consent keygen keys --kid show --role production --performer 'P-*'",
        ),
        "consent new": (
            "vfxswap consent new --performer P-0042 --role likeness --use train --use swap --use publish "
            "--scope 'show/*/*' --until 2027-06-30 --purpose 'The flashback scenes' --model any --output ben.json",
        ),
        "consent sign": ("vfxswap consent sign ben.json --key keys/ben.key.pem",),
        "consent verify": ("vfxswap consent verify ben.json anna.json --keyring keys",),
        "consent show": ("vfxswap consent show ben.json",),
        "consent revoke": (
            "vfxswap consent revoke ben.json --key keys/stop.key.pem --keyring keys",
            "vfxswap consent revoke --key keys/stop.key.pem --keyring keys",
        ),
        "consent reference": ("vfxswap consent reference stills/ben --performer P-0042 --output ben.reference.json",),
        "consent name": ("vfxswap consent name ben.json --salt ben.json.salt --legal-name-file name.txt",),
        "publish": (
            "vfxswap publish job.json --check",
            "vfxswap publish job.json --into publish --qc qc.json",
        ),
        "provenance verify": ("vfxswap provenance verify out --keyring keys",),
        "provenance show": ("vfxswap provenance show out",),
        "provenance finalise": ("vfxswap provenance finalise out",),
        "provenance key": ("vfxswap provenance key",),
    }
)
"""Command -> its examples."""

START: Final = "To begin: `vfxswap doctor`, then `vfxswap demo`. The defaults of a show: vfxswap.toml (docs/config.md)."


def shown(name: str, command: Any) -> Any:
    """`command`, or every command of a group, with its examples below its help."""
    if hasattr(command, "commands"):
        for word, found in command.commands.items():
            shown(f"{name} {word}", found)
    elif name in EXAMPLES:
        command.epilog = "\n\n".join(["Example:" if len(EXAMPLES[name]) == 1 else "Examples:", *EXAMPLES[name]])
    return command
