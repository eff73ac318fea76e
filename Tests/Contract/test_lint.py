"""openapi.yaml against the rules of vacuum (those of Spectral), and against some that it cannot tell."""
import re
import subprocess
import sys

import pytest
from conftest import ROOT, references
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

RULES = """
extends: [[spectral:oas, recommended]]
rules:
  # OpenAPI 3.1 lets a description stand beside a reference.
  no-$ref-siblings: off
  # It asks for a description of each example, which has a summary, and does so for five other kinds of components. The tests
  # below ask for those of schemas, parameters, headers and responses.
  component-description: off
  # It takes `methods`, which a schema refers to, for unused. A test below counts.
  oas3-unused-component: off
  # Bodies have examples, which are executed; a number has none of its own.
  oas3-missing-example: off
  # The server that sent the document, at whatever path a proxy put it.
  oas3-api-servers: off
  # Clients ask for /v2 and for /v2/.
  path-keys-no-trailing-slash: off
  # `As in a JSON body; not in both.` is said of each query parameter.
  description-duplication: off
"""


def test_it_is_an_openapi_document(contract):
    assert list(OpenAPIV31SpecValidator(contract).iter_errors()) == []


def test_the_linter_finds_nothing():
    vacuum = pytest.importorskip("vacuum", reason="the linter's package is for x86-64")
    found = vacuum.lint((ROOT / "openapi.yaml").read_bytes(), ruleset=RULES)
    # NestedNumbers are lists of lists. (This one is reported whatever the rules say.)
    assert [f"{result}" for result in found if "#/components/schemas/NestedNumbers" not in result.message] == []


def test_the_linter_finds_what_is_wrong():
    vacuum = pytest.importorskip("vacuum", reason="the linter's package is for x86-64")
    text = (ROOT / "openapi.yaml").read_text(encoding="utf-8")
    broken = text.replace("operationId: prune", "operationId: localize", 1).replace("tags: [methods]", "tags: [methodes]", 1)
    assert broken != text
    found = " ".join(str(result) for result in vacuum.lint(broken, ruleset=RULES))
    assert "operationId" in found and "methodes" in found


def test_web_openapi_json_is_the_same_document():
    subprocess.run([sys.executable, ROOT / "tools/contract.py", "--check"], check=True)


def test_every_component_is_used(contract):
    used = set(references(contract)) | {"#/components/securitySchemes/" + name for need in contract["security"] for name in need}
    defined = {f"#/components/{kind}/{name}" for kind, parts in contract["components"].items() for name in parts}
    assert used == defined


def test_every_component_is_described(document):
    bare = [
        f"{kind} {name}" for kind in ("schemas", "parameters", "headers", "responses", "requestBodies", "securitySchemes")
        for name, part in document.root["components"][kind].items() if not document.resolved(part).get("description")]
    assert bare == []


def test_operations_are_named_tagged_and_told_in_one_line(document):
    tags = [tag["name"] for tag in document.root["tags"]]
    names = []
    for method, path, operation in document.operations():
        names.append(operation["operationId"])
        assert operation["summary"].endswith(".") and "\n" not in operation["summary"], path
        assert len(operation["tags"]) == 1 and operation["tags"][0] in tags, path
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) for name in names)


def test_every_operation_tells_its_success_and_its_errors(document):
    for method, path, operation in document.operations():
        statuses = set(operation["responses"])
        assert "200" in statuses, path
        # What the transport may say of any request, one by one or as a class.
        for status in ("400", "405", "408", "413", "414", "417", "431", "501", "503", "505"):
            assert status in statuses or status[0] + "XX" in statuses, f"{method} {path}: {status}"
        if operation.get("security") != []:
            assert statuses & {"401", "4XX"}, path
        for status, response in operation["responses"].items():
            response = document.resolved(response)
            assert response["description"], f"{method} {path} {status}"
            if status[0] in "45" and path not in ("/readyz", "/healthz", "/health", "/ping"):
                assert set(response["content"]) & {"application/problem+json", "application/json"}, f"{method} {path} {status}"


def test_path_variables_are_parameters_with_examples(document):
    for method, path, operation in document.operations():
        declared = [parameter for parameter in document.parameters(operation) if parameter["in"] == "path"]
        assert sorted(re.findall(r"{(\w+)}", path)) == sorted(parameter["name"] for parameter in declared), path
        assert all("example" in parameter for parameter in declared), path
        assert all(parameter["description"] for parameter in document.parameters(operation)), path


def test_json_bodies_have_examples(document):
    for method, path, operation in document.operations():
        body = document.resolved(operation.get("requestBody"))
        if body is not None:
            assert body["content"]["application/json"]["examples"], path
            assert body["description"], path


def schema_validator(contract, schema):
    """References of a schema start at the root of the document."""
    return Draft202012Validator({**schema, "components": contract["components"]})


def test_every_example_is_what_its_schema_says(contract, document):
    tried = 0
    for where, media_type, content in document.contents():
        for name, example in content.get("examples", {}).items():
            value = document.resolved(example)["value"]
            errors = [error.message for error in schema_validator(contract, content["schema"]).iter_errors(value)]
            assert errors == [], f"{where} {name}"
            tried += 1
    for kind in ("parameters", "headers"):
        for name, part in contract["components"][kind].items():
            if "example" in part:
                assert schema_validator(contract, part["schema"]).is_valid(part["example"]), name
                tried += 1
    assert tried > 60


def test_every_schema_is_json_schema(contract):
    for name, schema in contract["components"]["schemas"].items():
        Draft202012Validator.check_schema(schema)
        # A required member that is not described is a slip.
        assert set(schema.get("required", [])) <= set(schema.get("properties", {})), name
