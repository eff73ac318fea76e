"""What schemathesis has to know beside openapi.yaml: what a member of null means, and how tensors are read."""
import io
import os

import numpy
import safetensors.numpy
import schemathesis

NULL = {"type": "null"}


@schemathesis.hook
def before_load_schema(context, schema):
    """Says in the schemas what the contract says once, and whether this server has keys."""
    for parameter in schema["components"]["parameters"].values():
        # JSON as a text, which generators of clients know as that, is known here as JSON.
        if "contentSchema" in parameter.get("schema", {}):
            parameter["content"] = {"application/json": {"schema": parameter.pop("schema")["contentSchema"]}}
    # The same in a form, where texts are all that is generated.
    schema["components"]["schemas"]["Form"]["properties"]["parameters"] = {"enum": ["{}", '{"method": "topk", "keep_tokens": 1}']}
    allow_nulls(schema)
    if os.environ.get("CROP_CONTRACT_KEY"):
        schema["security"] = [needed for needed in schema["security"] if needed]
    return schema


def allow_nulls(schema):
    """A member of null is an absent one (openapi.yaml, Bodies). The protocol of /v2 does not say so."""
    components = schema["components"]["schemas"]
    seen = set()

    def wrapped(part):
        visit(part)
        return {"anyOf": [part, NULL]}

    def visit(part):
        if isinstance(part, list):
            for item in part:
                visit(item)
        elif isinstance(part, dict):
            name = part.get("$ref", "").rpartition("/")[2]
            if name and name not in seen:
                seen.add(name)
                visit(components[name])
            properties = part.get("properties", {})
            required = set(part.get("required", []))
            for member, value in properties.items():
                if member in required:
                    visit(value)
                else:
                    properties[member] = wrapped(value)
            for keyword in ("anyOf", "oneOf", "allOf", "items"):
                if keyword in part:
                    visit(part[keyword])

    for path, item in schema["paths"].items():
        for operation in item.values():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json")
            if body and not path.startswith("/v2"):
                visit(body["schema"])
    for parameter in schema["components"]["parameters"].values():
        # A list that stands there with commas between stays one.
        if parameter["in"] == "query" and parameter.get("style") != "form":
            content = parameter.get("content", {}).get("application/json", parameter)
            content["schema"] = wrapped(content["schema"])


@schemathesis.hook
def before_call(context, case, **kwargs):
    """Sends examples as they stand: values of their responses make other requests of them, where they go into the query string."""
    if case.meta.phase.name.value == "examples":
        case.query = {}


@schemathesis.deserializer("application/x-npy")
def npy(context, response):
    array = numpy.load(io.BytesIO(response.content), allow_pickle=False)
    assert array.ndim in (1, 2)
    return response.content.decode("latin-1")


@schemathesis.deserializer("application/x-safetensors")
def tensors(context, response):
    assert safetensors.numpy.load(response.content)
    return response.content.decode("latin-1")
