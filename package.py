"""rez: `rez build --install` makes a package with a Python environment of its own inside, pinned by constraints.txt.

Hosts start vfxswap as a program, so the package asks for no python of rez: what runs in an environment resolved for
Nuke or Resolve is the interpreter that the package was built with (VFXSWAP_BUILD_PYTHON names it; python3 without).
REZ_BUILD_VFXSWAP_EXTRAS=train adds torch.
"""

# ruff: noqa: F821 - names that rez gives

name = "vfxswap"

authors = ["vfxswap maintainers"]

description = "Replace one consenting performer's face with another's in a film plate, in scene-linear light."

tools = ["vfxswap"]

build_command = "bash {root}/tools/rez_build.sh {root} {install}"


@early()
def variants():  # noqa: D103
    from rez.system import system  # type: ignore[import-not-found]

    return [[f"platform-{system.platform}"]]


@early()
def version():  # noqa: D103
    import re

    with open("vfxswap/__init__.py", encoding="utf-8") as source:
        return re.search(r'^__version__ = "(.+)"$', source.read(), re.MULTILINE)[1]


def commands():  # noqa: D103
    env.PATH.prepend("{root}/bin")
    env.VFXSWAP_PYTHON = "{root}/venv/bin/python"
    env.NUKE_PATH.append("{root}/hosts/nuke")
    env.PYBLISHPLUGINPATH.append("{root}/hosts/publish/plugins")
