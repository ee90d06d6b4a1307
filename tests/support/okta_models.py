"""What the Okta SDK does with the body of an answer, and what its models are picky about."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import annotated_types
import okta
import okta.models
from okta.api_client import ApiClient
from okta.rest import RESTResponse
from pydantic.fields import FieldInfo
from support.examples import Fit

_API = Path(okta.__path__[0]) / "api"
_CALL = re.compile(
    r"async def (\w+)\(|_response_types_map: Dict\[str, Optional\[str\]\] = (\{.*?\})", re.DOTALL
)


def answered() -> Mapping[str, Mapping[str, str]]:
    """By each call's name, without case and underscores, what each status is answered with."""
    found, call = dict[str, Mapping[str, str]](), ""
    for file in sorted(_API.glob("*_api.py")):
        for name, types in _CALL.findall(file.read_text()):
            if name:
                call = name.replace("_", "").lower()
            else:
                found[call] = json.loads(re.sub(r",\s*\}", "}", types.replace("None", "null")))
    return found


def loaded(body: bytes, status: str, types: Mapping[str, str]) -> Any:
    """What the SDK makes of a body, by its own way; raises whatever that does."""
    response = RESTResponse(
        SimpleNamespace(
            status=int(status), reason="OK", headers={"Content-Type": "application/json"}
        )
    )
    response.read(body)  # type: ignore[no-untyped-call]
    client = ApiClient.__new__(ApiClient)  # what deserializes has no state
    return client.response_deserialize(response, dict(types)).data


_UUID = "01234567-89ab-4cde-8f01-23456789abcd"

PATTERNED: Mapping[tuple[str, str], str] = {
    ("ApiToken", "tokenWindow"): "P30D",
    ("AppServiceAccount", "id"): _UUID,
    ("AppServiceAccount", "name"): "a name",
    ("ByDurationExpiry", "value"): "P30D",
    ("KeepMeSignedIn", "postAuthPromptFrequency"): "P30D",
    ("LogStreamSettingsAws", "eventSourceName"): "a",
    ("LogStreamSettingsSplunk", "token"): _UUID,
    ("ServiceAccount", "id"): _UUID,
    ("ServiceAccount", "name"): "a name",
    ("SignInPage", "widgetVersion"): "^7",
    ("UserFactorCallProfile", "phoneNumber"): "+15555550100",
    ("UserFactorSMSProfile", "phoneNumber"): "+15555550100",
}
"""Texts that fit what models ask of them by expressions, by component and property."""


MISTAKEN = frozenset(
    {
        ("AuthenticatorMethodOtp", "algorithm"),  # an enum in another case
        ("DeviceAssurance", "devicePostureChecks"),  # objects for texts
        ("DynamicNetworkZone", "asns"),  # objects for lists
        ("DynamicNetworkZone", "locations"),
        ("EnhancedDynamicNetworkZone", "asns"),
        ("EnhancedDynamicNetworkZone", "locations"),
        ("GroupPushMapping", "appConfig"),  # read twice, the second time without its members
        ("Policy", "_embedded"),  # objects for whatever there may be
        ("ProfileMapping", "properties"),  # an object for a text
        ("User", "_embedded"),  # objects for whatever there may be
    }
)
"""Properties that the models take for something else than the description has, by component."""


def fits(name: str) -> Mapping[str, Fit]:
    """How long and how large the properties of a component must be, by the model of its name."""
    model: Any = getattr(okta.models, name, object) if name else object
    known = {}
    for attribute, field in getattr(model, "model_fields", {}).items():
        at = field.alias or attribute
        places = [(each.__name__, at) for each in type.mro(model)]
        text = next((PATTERNED[place] for place in places if place in PATTERNED), "")
        known[at] = _fit(field)._replace(text=text, left_out=not MISTAKEN.isdisjoint(places))
    return known


def _fit(field: FieldInfo) -> Fit:
    fit = Fit()
    for each in [*field.metadata, *_inside(field.annotation)]:
        if isinstance(each, annotated_types.MinLen):
            fit = fit._replace(shortest=each.min_length)
        elif isinstance(each, annotated_types.MaxLen):
            fit = fit._replace(longest=each.max_length)
        elif isinstance(each, annotated_types.Ge):
            fit = fit._replace(least=max(7, int(str(each.ge))))
        elif isinstance(each, annotated_types.Le):
            fit = fit._replace(least=min(fit.least, int(str(each.le))))
        elif isinstance(each, annotated_types.MultipleOf):
            fit = fit._replace(least=6)
    return fit


def _inside(annotation: object) -> Iterator[object]:
    """What is told of a type, and of those that it is made of."""
    for each in getattr(annotation, "__metadata__", ()):
        yield from getattr(each, "metadata", [each])
    for each in get_args(annotation):
        yield from _inside(each)
