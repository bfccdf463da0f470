"""Checks of what is in the lake: tables that fit this version's contract, media that rows name. Nothing is repaired."""

import itertools

from harchive_dagster.doctor.findings import Finding, fine
from harchive_dagster.errors import LakeError
from harchive_dagster.lake import schemas
from harchive_dagster.lake.contract import CONTRACT_VERSION, TableContract
from harchive_dagster.lake.tables import Lake

_MOST_FILES = 10_000
"""Looked up in a second or two on disk; more would make the look a long one."""


def tables_fit_the_contract(lake: Lake) -> Finding:
    """Every table can be opened, and was written under this version of the data contract."""
    there = [contract for contract in schemas.ALL_TABLES if lake.version(contract) is not None]
    wrong = [f"{contract.zone}/{contract.name} {what}" for contract in there if (what := _misfit(lake, contract))]
    if wrong:
        raise LakeError(
            f"{len(wrong)} of {len(there)} tables do not fit data contract {CONTRACT_VERSION}: {'; '.join(wrong[:3])}.",
            consequence="Runs that read or write them fail.",
            mend="Migrate them, or run the version of harchive that wrote them.",
        )
    return fine(f"{len(there)} tables of data contract {CONTRACT_VERSION}" if there else "no table yet")


def media_are_there(lake: Lake) -> Finding:
    """The files that rows of rendered video name exist; of very many, as many as a short look can take."""
    named = (
        lake.media_folder(contract.zone) / uri
        for contract in (schemas.ANONYMIZED_VIDEOS, schemas.PUBLISHED_VIDEOS)
        for uri in lake.read_columns(contract, ["uri"]).column("uri").to_pylist()
    )
    looked_up = list(itertools.islice(named, _MOST_FILES))
    missing = [path for path in looked_up if not path.is_file()]
    if missing:
        raise LakeError(
            f"{len(missing)} of {len(looked_up)} video files that rows name are not there, "
            f"for example {missing[0].relative_to(lake.root)}.",
            consequence="Whoever follows those rows finds nothing.",
            mend="Materialize `anonymized_videos` and `episodes` of those worker-days again.",
        )
    return fine(f"{len(looked_up)} video files that rows name are there")


def _misfit(lake: Lake, contract: TableContract) -> str:
    from deltalake import DeltaTable

    table = DeltaTable(lake.uri(contract))
    version = table.metadata().configuration.get("harchive.contract_version", "none")
    missing = sorted(set(contract.schema.names) - {field.name for field in table.schema().fields})
    # The last part changes with words only.
    if version.split(".")[:2] != CONTRACT_VERSION.split(".")[:2]:
        return f"is of contract {version}"
    return f"lacks {', '.join(missing)}" if missing else ""
