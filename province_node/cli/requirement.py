"""`province-node requirement`: whether a place must check codes, asked of the running node."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from healthcode.cli.console import Command, details, json_option, print_result
from healthcode.policy.checks import CheckRequired
from healthcode.policy.words import PersonCategory, PlaceType
from healthcode.rpc.convert import enum_member, enum_number, epoch
from healthcode.rpc.status_mapping import rpc_errors
from healthcode.v1 import province_node_pb2, verdict_pb2
from healthcode.v1.province_node_pb2_grpc import ProvinceNodeServiceStub
from healthcode.verification.place_check import PlaceCheck
from province_node.cli.connection import integrator, name_of
from province_node.cli.option import dir_option
from province_node.settings import NodeSettings, load_node_settings

__all__ = ["requirement"]

_TIMEOUT_SECONDS = 10.0


@click.command(
    cls=Command,
    examples="""
    province-node requirement --dir node-31 --place PARK --area 310115
    province-node requirement --dir node-31 --place STATION --area 310115 --json
    """,
)
@dir_option("The node's folder.")
@click.option(
    "--place", type=click.Choice([*PlaceType], case_sensitive=False), required=True, help="Type of the place."
)
@click.option("--area", required=True, metavar="GB/T 2260", help="The six-digit code of the place's area.")
@click.option(
    "--category",
    type=click.Choice([*PersonCategory], case_sensitive=False),
    default=PersonCategory.GENERAL,
    help="A category of persons for which the policy has rules of its own.",
)
@json_option
def requirement(root: Path, place: str, area: str, category: str, as_json: bool) -> None:
    """Ask the running node whether a place must check codes at all, before anybody shows one.

    The answer is CHECK, or CHECK_NOT_REQUIRED with the row of the policy's `checks` that says so.
    """
    settings = load_node_settings(root)
    request = province_node_pb2.CheckRequirementRequest(
        place_type=enum_number(verdict_pb2.PlaceType, PlaceType(place.upper())),
        area_code=area,
        person_category=enum_number(verdict_pb2.PersonCategory, PersonCategory(category.upper())),
    )
    found = asyncio.run(_ask(root, settings, request))
    print_result(found.to_dict(), as_json=as_json, table=details)


async def _ask(
    root: Path, settings: NodeSettings, request: province_node_pb2.CheckRequirementRequest
) -> PlaceCheck:
    async with integrator(root, settings) as channel:
        with rpc_errors(name_of(settings.listen)):
            response = await ProvinceNodeServiceStub(channel).CheckRequirement(
                request, timeout=_TIMEOUT_SECONDS
            )
    required = enum_member(province_node_pb2.Requirement, response.requirement, CheckRequired)
    return PlaceCheck(
        required=required or CheckRequired.CHECK,
        rule=response.rule,
        policy_version=response.policy_version,
        areas_as_of=epoch(response, "areas_as_of"),
        warnings=tuple(response.warnings),
    )
