"use strict";
let contract;

// Everything from the contract enters the page as text, never as markup.
function element(tag, properties, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name in node) node[name] = value; else node.setAttribute(name, value);
  }
  for (const child of children.flat()) if (child !== null && child !== undefined) node.append(child);
  return node;
}

// The little of Markdown that descriptions use: paragraphs, `code`, **bold**.
function prose(text) {
  return (text || "").trim().split(/\n\s*\n/).filter(Boolean).map(paragraph =>
    element("p", {}, inline(paragraph.replace(/\n/g, " "))));
}
function inline(text) {
  return text.split(/(`[^`]+`|\*\*[^*]+\*\*)/).filter(Boolean).map(part =>
    part.startsWith("`") ? element("code", {}, part.slice(1, -1))
      : part.startsWith("**") ? element("b", {}, part.slice(2, -2)) : part);
}

function resolve(value) {
  if (!value || !value.$ref) return value;
  const { $ref, ...beside } = value;
  return { ...resolve(target(value)), ...beside };
}

function target(schema) {
  return schema.$ref.slice(2).split("/").reduce((node, key) => node[key], contract);
}

function reference(schema) {
  const name = schema.$ref.split("/").pop();
  return element("a", { href: "#schema-" + name }, name);
}

// A schema as a phrase: "integer >= 1, default 24".
function phrase(schema) {
  if (schema === true || !schema) return ["anything"];
  const parts = [];
  const beside = Object.keys(schema).filter(key => !["$ref", "description", "default"].includes(key));
  // Lower case names one request member, whose value says more than its name again.
  if (schema.$ref && /\/[a-z_]+$/.test(schema.$ref)) parts.push(...phrase(target(schema)));
  else if (schema.$ref && !beside.length) parts.push(reference(schema));
  else if (schema.const !== undefined) parts.push(JSON.stringify(schema.const));
  else if (schema.enum) parts.push(schema.enum.map(value => JSON.stringify(value)).join(" | "));
  else if (schema.anyOf || (schema.oneOf && !schema.properties)) {
    (schema.anyOf || schema.oneOf).forEach((choice, index) => {
      if (index) parts.push(" or ");
      parts.push(...phrase(choice));
    });
  } else if (schema.type === "array") {
    const same = schema.minItems !== undefined && schema.minItems === schema.maxItems;
    parts.push(same ? "list of " + schema.minItems + ": " : "list of ", ...phrase(schema.items));
  } else parts.push([].concat(schema.type || "value").join(" or "));
  if (schema.minimum !== undefined) parts.push(" \u2265 " + schema.minimum);
  if (schema.exclusiveMinimum !== undefined) parts.push(" > " + schema.exclusiveMinimum);
  if (schema.maximum !== undefined) parts.push(" \u2264 " + schema.maximum);
  if (schema.exclusiveMaximum !== undefined) parts.push(" < " + schema.exclusiveMaximum);
  if (schema.default !== undefined) parts.push(", default " + JSON.stringify(schema.default));
  return parts;
}

function members(schema) {
  const required = schema.required || [];
  return element("table", {},
    element("tr", {}, element("th", {}, "member"), element("th", {}, "value"), element("th", {}, "meaning")),
    Object.entries(schema.properties).map(([name, given]) => {
      const member = resolve(given);
      return element("tr", {},
        element("td", {}, element("code", { className: required.includes(name) ? "required" : "" }, name)),
        element("td", {}, ...phrase(given)), element("td", {}, prose(member.description)));
    }));
}

function schemaBody(schema) {
  const parts = prose(schema.description);
  if (schema.properties) parts.push(members(schema));
  else parts.push(element("p", {}, ...phrase(schema)));
  const alternatives = schema.oneOf || schema.anyOf;
  if (schema.properties && alternatives) {
    const choices = alternatives.map(choice => (choice.required || []).join(" and "));
    parts.push(element("p", { className: "note" },
      (schema.oneOf ? "Exactly one of: " : "At least one of: ") + choices.join("; ") + "."));
  }
  return parts;
}

function parameterTable(parameters) {
  return element("table", {},
    element("tr", {}, element("th", {}, "parameter"), element("th", {}, "in"), element("th", {}, "value"),
      element("th", {}, "meaning")),
    parameters.map(parameter => {
      const schema = parameter.schema.contentSchema || parameter.schema;
      return element("tr", {},
        element("td", {}, element("code", { className: parameter.required ? "required" : "" }, parameter.name)),
        element("td", {}, parameter.in + (parameter.schema.contentSchema ? ", as JSON" : "")),
        element("td", {}, ...phrase(schema)), element("td", {}, prose(parameter.description)));
    }));
}

function pretty(value) {
  const text = JSON.stringify(value, null, 2);
  // Lists of numbers on one line: a map of 64 values is not worth 64 lines.
  return text.replace(/\[[\s\d.,eE+\-]*\]/g, list => list.replace(/\s+/g, " "));
}

// Browsers offer navigator.clipboard to secure contexts only; elsewhere a selection is copied.
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = element("textarea", { value: text, readOnly: true, className: "copying" });
    document.body.append(area);
    area.select();
    try { return document.execCommand("copy"); } finally { area.remove(); }
  }
}

function copyButton(source) {
  return element("button", {
    type: "button", onclick: async event => {
      event.target.textContent = await copied(source()) ? "copied" : "select the text and copy it";
      setTimeout(() => { event.target.textContent = "copy"; }, 1200);
    },
  }, "copy");
}

// The key stays in this page: it is sent to this server and stored nowhere.
const key = document.getElementById("key");
const authorization = () => key.value.trim() ? { Authorization: "Bearer " + key.value.trim() } : {};

const quoted = text => "'" + text.replaceAll("'", "'\\''") + "'";

// The form that sends a request, with the curl call that does the same.
function trial(verb, path, operation) {
  const content = operation.requestBody && resolve(operation.requestBody).content["application/json"];
  const examples = content ? content.examples : {};
  const first = Object.values(examples)[0];
  const filled = (operation.parameters || []).map(resolve).filter(parameter => parameter.in === "path")
    .reduce((text, variable) => text.replace("{" + variable.name + "}", variable.example), path);
  const address = element("input", { type: "text", "aria-label": "target", value: filled });
  const body = content ? element("textarea", { value: pretty(first.value), spellcheck: false, "aria-label": "body" }) : null;
  const file = content ? element("input", { type: "file", "aria-label": "file instead of the text" }) : null;
  const accept = element("select", { "aria-label": "Accept" },
    ["*/*", "application/json", "application/x-safetensors", "application/x-npy"].map(type =>
      element("option", {}, type)));
  const command = element("pre", {});
  const output = element("div", { "aria-live": "polite" });
  const chosen = () => file && file.files[0];

  function draw() {
    let text = "curl -sS " + (content || verb === "get" ? "" : "-X " + verb.toUpperCase() + " ")
      + quoted(location.origin + address.value);
    if (key.value.trim()) text += " \\\n  -H \"Authorization: Bearer $CROP_KEY\"";
    if (content && accept.value !== "*/*") text += " \\\n  -H " + quoted("Accept: " + accept.value);
    if (chosen()) text += " \\\n  --data-binary @" + quoted(chosen().name);
    else if (body) {
      let compact = body.value;
      try { compact = JSON.stringify(JSON.parse(body.value)); } catch { /* sent as it stands */ }
      text += " \\\n  -H 'Content-Type: application/json' \\\n  -d " + quoted(compact);
    }
    command.textContent = text;
  }

  async function send() {
    output.replaceChildren("...");
    const request = { method: verb.toUpperCase(), headers: authorization() };
    if (content) {
      request.headers["Accept"] = accept.value;
      request.headers["Content-Type"] = chosen() ? "application/octet-stream" : "application/json";
      request.body = chosen() || body.value;
    }
    try {
      const response = await fetch(address.value.replace(/^\//, ""), request);
      const type = response.headers.get("Content-Type") || "";
      const bytes = await response.arrayBuffer();
      const headers = [...response.headers].map(([name, value]) => name + ": " + value).join("\n");
      let text = "(" + bytes.byteLength + " bytes)";
      if (/json|text|yaml/.test(type)) {
        text = new TextDecoder().decode(bytes);
        if (/json/.test(type)) text = pretty(JSON.parse(text));
      }
      output.replaceChildren(element("pre", {}, response.status + " " + response.statusText + "\n" + headers),
        element("pre", {}, text.slice(0, 200000)));
    } catch (error) {
      output.replaceChildren(element("pre", {}, String(error)));
    }
  }

  const picker = Object.keys(examples).length > 1
    ? element("select", {
      "aria-label": "example", onchange: event => {
        body.value = pretty(examples[event.target.value].value);
        file.value = "";
        draw();
      },
    }, Object.entries(examples).map(([key, example]) => element("option", { value: key }, example.summary)))
    : null;
  for (const input of [address, body, file, accept]) if (input) input.oninput = draw;
  key.addEventListener("input", draw);
  draw();
  return [
    element("h4", {}, "Try it"),
    picker && element("div", { className: "row" }, "Example:", picker),
    element("div", { className: "row" }, element("span", { className: "verb" }, verb.toUpperCase()), address,
      element("button", { type: "button", onclick: send }, "send")),
    body, content && element("div", { className: "row" }, "or a file:", file, "Accept:", accept),
    element("div", { className: "row" }, element("b", {}, "curl"), copyButton(() => command.textContent)),
    command, output,
  ];
}

function responses(operation) {
  const rows = Object.entries(operation.responses).sort().map(([status, given]) => {
    const response = resolve(given);
    const bodies = Object.entries(response.content || {}).map(([type, content]) => [
      element("div", {}, element("code", {}, type), " ", ...(content.schema ? phrase(content.schema) : [])),
      Object.entries(content.examples || {}).map(([key, example]) => element("details", {},
        element("summary", {}, "example: " + (resolve(example).summary || key)),
        element("pre", {}, pretty(resolve(example).value)))),
    ]);
    const headers = Object.keys(response.headers || {}).join(", ");
    return element("tr", {}, element("td", {}, element("b", {}, status)),
      element("td", {}, prose(response.description), bodies.flat(2),
        headers && element("div", { className: "note" }, "headers: " + headers)));
  });
  return [element("h4", {}, "Responses"), element("table", {}, rows)];
}

function operationNode(path, verb, operation) {
  const parameters = (operation.parameters || []).map(resolve);
  const node = element("details", { id: operation.operationId },
    element("summary", {}, element("span", { className: "verb" }, verb.toUpperCase()), " ",
      element("code", {}, path), " ", ...inline(operation.summary || "")));
  // Drawn when opened: closed sections cost nothing.
  node.addEventListener("toggle", () => {
    if (!node.open || node.childElementCount > 1) return;
    node.append(...prose(operation.description), ...trial(verb, path, operation).filter(Boolean));
    const body = resolve(operation.requestBody);
    if (body) {
      const schema = body.content["application/json"].schema;
      node.append(element("h4", {}, "Request body"),
        element("p", {}, Object.keys(body.content).join(", "), ". ", ...inline(body.description || "")), ...schemaBody(resolve(schema)));
    }
    if (parameters.length) {
      node.append(element("details", {}, element("summary", {}, "Path, query and header parameters"),
        parameterTable(parameters)));
    }
    node.append(...responses(operation));
  });
  return node;
}

function openTarget() {
  const node = document.getElementById(location.hash.slice(1));
  if (node && node.tagName === "DETAILS") { node.open = true; node.scrollIntoView(); }
}

async function start() {
  const response = await fetch("openapi.json", { headers: authorization() });
  document.getElementById("load").hidden = response.status !== 401;
  if (response.status === 401) throw new Error("The server has API keys: enter one above, then press load.");
  if (!response.ok) throw new Error("openapi.json: status " + response.status);
  contract = await response.json();
  document.getElementById("title").textContent = contract.info.title + " " + contract.info.version;
  document.getElementById("about").append(...prose(contract.info.description),
    element("p", {}, element("a", { href: "openapi.yaml" }, "openapi.yaml"), " ",
      element("a", { href: "openapi.json" }, "openapi.json")));
  const main = document.getElementById("main");
  main.replaceChildren();
  const contents = document.getElementById("contents");
  for (const tag of contract.tags) {
    contents.append(element("a", { href: "#tag-" + tag.name }, tag.name));
    main.append(element("h2", { id: "tag-" + tag.name }, tag.name), ...prose(tag.description));
    for (const [path, item] of Object.entries(contract.paths)) {
      for (const [verb, operation] of Object.entries(item)) {
        if ((operation.tags || []).includes(tag.name)) main.append(operationNode(path, verb, operation));
      }
    }
  }
  contents.append(element("a", { href: "#schemas" }, "schemas"));
  main.append(element("h2", { id: "schemas" }, "schemas"));
  for (const [name, schema] of Object.entries(contract.components.schemas)) {
    main.append(element("details", { id: "schema-" + name },
      element("summary", {}, element("code", {}, name)), ...schemaBody(resolve(schema))));
  }
  window.addEventListener("hashchange", openTarget);
  openTarget();
}
function load() {
  start().catch(error => document.getElementById("main").replaceChildren(element("pre", {}, error.message)));
}
document.getElementById("load").onclick = load;
load();
