"""What is to be done, before any engine is chosen: Track, Measure, Swap in chunks, Finalise; or Train."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Step:
    """One step of the work; each needs the one before it.

    Attributes:
        name: as engines show it; in lower case it is what `vfxswap farm work` calls it.
        chunked: its frames are shared out among workers.
        networks: it runs networks, so it wants the GPU if the job does.
        seconds: allowed for each frame; a step or chunk that takes ten minutes more than that is stopped. None: the
            step takes as long as it takes.
        memory: MiB that its machine has to have.
        gpu_memory: MiB that each of its GPUs has to have.
        gpus: how many of them, where the job wants any.
        tries: how often a task may fail before it is given up.
        cores: that it keeps busy at the least.
    """

    name: str
    chunked: bool
    networks: bool
    seconds: int | None
    memory: int = 4096
    gpu_memory: int = 8192
    gpus: int = 1
    tries: int = 3
    cores: int = 1

    def timeout(self, frames: int) -> int | None:
        """Seconds after which the step, or a chunk of it, is taken to hang; None: never."""
        return None if self.seconds is None else 600 + self.seconds * frames


STEPS = (
    Step("Track", chunked=False, networks=True, seconds=60),
    Step("Measure", chunked=False, networks=True, seconds=30),
    Step("Swap", chunked=True, networks=True, seconds=120),
    Step("Finalise", chunked=False, networks=False, seconds=10),
)


@dataclass(frozen=True)
class Plan:
    """A job for a farm.

    Attributes:
        name: of the job, as people see it in the engine.
        job: absolute path of the job file that the workers read.
        frames: the frames of the job, such as `1001-1048x2,1060`.
        numbers: the same one by one, rising.
        chunk: frames that a worker does in one go.
        command: the program that workers call.
        gpu: a GPU is needed.
        inputs: (name, path) of what is read: plate, model, consents ...; folders end with `/`.
        output: pattern of the frames that are written.
        pool: where the engine has pools; empty: its default.
        group: the same for groups of machines.
        priority: 0 to 100.
        publish: folder that gets a version once everything is signed; empty: nothing is published.
        references: reference files that consents name, for the publish.
        steps: what is done, each step after the one before.
        goes_on: the output folder is read, too: a task goes on where another one stopped.
        about: what the job is, for people.
    """

    name: str
    job: str
    frames: str
    numbers: tuple[int, ...]
    chunk: int
    command: str
    gpu: bool
    inputs: tuple[tuple[str, str], ...]
    output: str
    pool: str = ""
    group: str = ""
    priority: int = 50
    publish: str = ""
    references: tuple[str, ...] = ()
    steps: tuple[Step, ...] = STEPS
    goes_on: bool = False
    about: str = "A face replacement by vfxswap. Consent is checked by every task."

    def words(self, step: Step, *, engine: str, frames: str = "", job: str = "", rules: str = "") -> list[str]:
        """The words after the command.

        Args:
            step: what to do.
            engine: for which the worker words its progress.
            frames: the engine's token for the frames of a chunk.
            job: the engine's token for the job file; its path without.
            rules: the engine's token for a file of path mapping rules.
        """
        words = ["farm", "work", step.name.lower(), job or self.job, "--engine", engine]
        if step.chunked:
            words.append("--frames=" + frames)  # in one word: a range may begin with a minus
        if rules:
            words += ["--path-rules", rules]
        if self.publish and step is self.steps[-1]:
            words += ["--publish", self.publish]
            for path in self.references:
                words += ["--reference", path]
        return words

    def timeout(self, step: Step) -> int | None:
        """Seconds that a task of `step` may take; None: as many as it needs."""
        return step.timeout(self.chunk if step.chunked else len(self.numbers))


@dataclass(frozen=True)
class Outcome:
    """What became of a job that was run to its end here.

    Attributes:
        code: exit code of the worker that failed, else of the engine; 0 when all went well.
        message: what that worker said.
    """

    code: int
    message: str = ""
