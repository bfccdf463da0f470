"""The tasks that workers are asked to do, from `tasks.yaml`. Which words labels may use is for `taxonomy`."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from harchive_dagster.errors import SettingsError
from harchive_dagster.labels.taxonomy import load_taxonomy
from harchive_dagster.landing.fields import Fields, Findings
from harchive_dagster.landing.manifest import ENVIRONMENTS
from harchive_dagster.landing.yaml_documents import parse_yaml

LANGUAGES = ("en", "hi", "kn")
"""Each task is worded in these (ISO 639-1); workers see theirs, labs see English."""

SYNC_REQUIRED = "required"
"""A recording whose clocks cannot be measured is set aside."""

SYNC_DEVICE_TIME_OK = "device_time_ok"
"""It is published with the devices' own times, and says so: for tasks where seconds matter and frames do not."""

SYNC_POLICIES = frozenset({SYNC_REQUIRED, SYNC_DEVICE_TIME_OK})

DEFAULT_MIN_AGREEMENT = 0.0
"""Krippendorff's alpha of people who label by chance: a task that asks for nothing asks for more than that."""

_LONGEST_TASK_S = 86_400.0


@dataclass(frozen=True)
class TaskStep:
    """One expected step, in canonical words."""

    verb: str
    noun: str


@dataclass(frozen=True)
class Task:
    """One entry of the catalogue.

    Attributes:
        instruction: what the worker is asked to do, by language.
        steps: what is expected to be seen, in order; a real attempt may repeat or skip steps.
        min_duration_s, max_duration_s: of one attempt.
        objects: canonical nouns.
        environments: where the task is done, as in the manifest.
        success: what an attempt that succeeded looks like at its end.
        sync: one of `SYNC_POLICIES`.
        min_agreement: Krippendorff's alpha that the annotators of a recording must reach, where there are several.
    """

    task_id: str
    instruction: Mapping[str, str]
    steps: tuple[TaskStep, ...]
    min_duration_s: float
    max_duration_s: float
    objects: tuple[str, ...]
    environments: tuple[str, ...]
    success: str
    sync: str = SYNC_REQUIRED
    min_agreement: float = DEFAULT_MIN_AGREEMENT

    @property
    def is_device_time_ok(self) -> bool:
        """Whether recordings whose clocks nothing measures are still of use: their devices' times are taken."""
        return self.sync == SYNC_DEVICE_TIME_OK

    @property
    def text(self) -> str:
        """The instruction in English: what labs read, and what a policy is conditioned on."""
        return self.instruction["en"]


@dataclass(frozen=True)
class TaskCatalog:
    """All tasks, by id."""

    version: str
    tasks: Mapping[str, Task]


@cache
def load_task_catalog() -> TaskCatalog:
    """The catalogue that ships with the package.

    Raises:
        SettingsError: the file contradicts itself or the taxonomy.
    """
    return parse_task_catalog(files("harchive_dagster.labels").joinpath("tasks.yaml").read_text("utf-8"))


def required_agreement(task_id: str | None) -> float:
    """Krippendorff's alpha that annotators of a recording of this task must reach; the default for free recording."""
    task = load_task_catalog().tasks.get(task_id or "")
    return DEFAULT_MIN_AGREEMENT if task is None else task.min_agreement


def expected_steps(task_id: str | None) -> tuple[TaskStep, ...]:
    """The steps of a task, in order; none for free recording."""
    task = load_task_catalog().tasks.get(task_id or "")
    return () if task is None else task.steps


def parse_task_catalog(text: str) -> TaskCatalog:
    """Read a catalogue from YAML.

    Raises:
        SettingsError: naming everything that is wrong with it.
    """
    try:
        document = parse_yaml(text)
    except ValueError as error:
        raise _error([str(error)]) from None
    if not isinstance(document, dict):
        raise _error(["it must be a mapping"])
    findings = Findings()
    root = Fields(document, findings)
    version = root.text("version", pattern=r"\d+\.\d+\.\d+")
    tasks: dict[str, Task] = {}
    for fields in root.mappings("tasks", min_count=1):
        task = _task(fields)
        if task.task_id in tasks:
            fields.note("task_id", f"is {task.task_id!r}, which is taken")
        tasks[task.task_id] = task
    root.refuse_unknown()
    if findings.problems:
        raise _error(findings.problems)
    return TaskCatalog(version=version, tasks=MappingProxyType(tasks))


def _task(fields: Fields) -> Task:
    nouns = frozenset(load_taxonomy().nouns.values())
    low_s, high_s = _duration_s(fields)
    task = Task(
        task_id=fields.identifier("task_id"),
        instruction=MappingProxyType(_instruction(fields.mapping("instruction"))),
        steps=tuple(_step(step, nouns) for step in fields.mappings("steps", min_count=1)),
        min_duration_s=low_s,
        max_duration_s=high_s,
        objects=fields.texts("objects", choices=nouns),
        environments=fields.texts("environments", choices=ENVIRONMENTS),
        success=fields.text("success"),
        sync=fields.optional("sync", lambda key: fields.text(key, choices=SYNC_POLICIES)) or SYNC_REQUIRED,
        min_agreement=fields.optional("min_agreement", lambda key: fields.number(key, low=-1.0, high=1.0))
        or DEFAULT_MIN_AGREEMENT,
    )
    fields.refuse_unknown()
    return task


def _instruction(fields: Fields) -> dict[str, str]:
    instruction = {language: fields.text(language, max_length=200) for language in LANGUAGES}
    fields.refuse_unknown()
    return instruction


def _step(fields: Fields, nouns: frozenset[str]) -> TaskStep:
    verbs = frozenset(load_taxonomy().verbs.values())
    step = TaskStep(verb=fields.text("verb", choices=verbs), noun=fields.text("noun", choices=nouns))
    fields.refuse_unknown()
    return step


def _duration_s(fields: Fields) -> tuple[float, float]:
    bounds = fields.numbers("duration_s", low=0.0, high=_LONGEST_TASK_S)
    if len(bounds) != 2 or not bounds[0] < bounds[1]:
        fields.note("duration_s", "must be the shortest and the longest duration")
        return 0.0, _LONGEST_TASK_S
    return bounds[0], bounds[1]


def _error(problems: list[str]) -> SettingsError:
    return SettingsError(
        f"The task catalogue cannot be used: {'; '.join(problems)}.",
        consequence="No recording can be tied to its task.",
        mend="Correct tasks.yaml.",
    )
