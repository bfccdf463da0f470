"""Dagster resources. Each hands out a plain library object, so that nothing below ever sees Dagster."""

from pathlib import Path

import dagster as dg

from harchive_dagster.lake.tables import Lake
from harchive_dagster.landing.storage import Landing
from harchive_dagster.privacy.detectors import DetectorChoice
from harchive_dagster.privacy.hiding import Hiding
from harchive_dagster.privacy.pseudonyms import Pseudonymiser


class LandingResource(dg.ConfigurableResource[Landing]):
    """Where uploads and annotators' files arrive. `uploads` is a path, or the URL of an object store."""

    uploads: str
    annotations: str
    max_session_gb: int = 200
    spool: str = "var/spool"

    def create_resource(self, context: dg.InitResourceContext) -> Landing:  # noqa: ARG002 -- Dagster's signature
        """The plain object."""
        return Landing.at(
            self.uploads, Path(self.annotations), self.max_session_gb * 10**9, spool=Path(self.spool).absolute()
        )


class LakeResource(dg.ConfigurableResource[Lake]):
    """Where tables and media live."""

    root: str

    def create_resource(self, context: dg.InitResourceContext) -> Lake:  # noqa: ARG002 -- Dagster's signature
        """The plain object."""
        return Lake(Path(self.root))


class PseudonymResource(dg.ConfigurableResource[Pseudonymiser]):
    """The pseudonym key. Given as an environment variable, so that neither the UI nor the run config holds it."""

    key: str

    def create_resource(self, context: dg.InitResourceContext) -> Pseudonymiser:  # noqa: ARG002 -- Dagster's signature
        """The plain object."""
        return Pseudonymiser(self.key.encode())


class HidingResource(dg.ConfigurableResource[Hiding]):
    """What is put in the place of what is hidden: "mosaic" or "fill"."""

    how: str

    def create_resource(self, context: dg.InitResourceContext) -> Hiding:  # noqa: ARG002 -- Dagster's signature
        """The plain value."""
        return Hiding(self.how)


class SyncSearchResource(dg.ConfigurableResource[float]):
    """How far from where a device clock is expected its offset is searched, in seconds."""

    seconds: float

    def create_resource(self, context: dg.InitResourceContext) -> float:  # noqa: ARG002 -- Dagster's signature
        """The plain number."""
        return self.seconds


class DetectorsResource(dg.ConfigurableResource[DetectorChoice]):
    """What looks for people: names of detectors, and paths of model cards."""

    names: list[str]

    def create_resource(self, context: dg.InitResourceContext) -> DetectorChoice:  # noqa: ARG002 -- Dagster's signature
        """The plain object."""
        return DetectorChoice.of(self.names)
