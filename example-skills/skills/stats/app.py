"""A skill in Python: describes a list of numbers.

Build it with componentize-py against Moxxy's WIT, as the Makefile does.
"""

import json
import statistics

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.plugin import LimitRequests, Manifest
from wit_world.exports.tools import Error_Invalid, Hints, Output, Tool

PARAMETERS = {
    "type": "object",
    "properties": {"numbers": {"type": "array", "items": {"type": "number"}, "minItems": 1}},
    "required": ["numbers"],
    "additionalProperties": False,
}


class Plugin(exports.Plugin):
    def get_manifest(self) -> Manifest:
        about = "Describes a list of numbers: mean, median, spread."
        return Manifest("stats", "0.1.0", about, [], [], LimitRequests(None, None, None), None)


class Tools(exports.Tools):
    def list_tools(self) -> list[Tool]:
        about = "Describe numbers: how many, mean, median, standard deviation, least and greatest."
        hints = Hints(read_only=True, idempotent=True, requires_approval=False)
        return [Tool("describe", about, json.dumps(PARAMETERS), hints)]

    def call(self, tool: str, arguments: str) -> Output:
        if tool != "describe":
            raise Err(Error_Invalid(f"there is no tool `{tool}`"))
        try:
            numbers = [float(number) for number in json.loads(arguments)["numbers"]]
            description = describe(numbers)
        except (KeyError, TypeError, ValueError) as error:
            raise Err(Error_Invalid(f"`numbers` has to be a list of numbers: {error}"))
        return Output(json.dumps(description), "application/json")


def describe(numbers: list[float]) -> dict[str, float]:
    return {
        "count": len(numbers),
        "mean": statistics.fmean(numbers),
        "median": statistics.median(numbers),
        "deviation": statistics.pstdev(numbers),
        "least": min(numbers),
        "greatest": max(numbers),
    }
