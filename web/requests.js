// From what is chosen on the page to requests.
import { AMOUNTS, Refused, catalogue, chosenMethod, defaultMethod, find, subject } from "./shared.js";

export async function call(path, options) {
  const headers = { ...(options || {}).headers };
  if (find("key").value.trim()) headers.Authorization = "Bearer " + find("key").value.trim();
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  if (response.status === 401) {
    find("access").open = true;
    throw new Refused("This server wants an API key: enter one under “API key”.");
  }
  const problem = await response.json().catch(() => ({}));
  throw new Refused(problem.error || "The server responded with status " + response.status + ".");
}

export const json = text => JSON.stringify(text);

/** The query of a request: everything but the tensors and the layout. */
export function query(parameters) {
  const entries = Object.entries(parameters).map(([name, value]) => [
    name, typeof value === "string" ? value : json(value),
  ]);
  return new URLSearchParams(entries).toString();
}

export function regionChoice() { return document.querySelector("input[name=region]:checked").value; }

export function drawnBox() {
  const [x0, y0, x1, y1] = [...document.querySelectorAll("[data-side]")].map(input => Number(input.value) / 100);
  return x0 < x1 && y0 < y1 ? [x0, y0, x1, y1] : null;
}

/** Whether the tensors, or the box that was drawn, tell a region. */
export function isLocatable() {
  if (!subject.layout) return false;
  if (regionChoice() === "box" && drawnBox()) return true;
  const has = name => Boolean(subject.tensors[name]);
  return has("attention") || (has("image_features") && has("text_features")) || (has("query") && has("key"));
}

/** Where the region of a request comes from, as parameters. */
export function regionParameters() {
  if (regionChoice() === "box" && drawnBox()) return { region: { box: drawnBox() } };
  return { localize: subject.localize || true };
}

/** The parameters of a method's request, but for its own. */
export function parametersOfMethod(method) {
  const parameters = { method, keep_tokens: Number(find("keep").value) };
  const policy = find("policy").value;
  const none = regionChoice() === "none" || policy === "none" || !isLocatable();
  // The default method looks for a region by itself; the others are told of one where a policy is chosen.
  if (none) {
    if (method === defaultMethod()) parameters.region_policy = "none";
  } else if (policy || method === defaultMethod()) {
    Object.assign(parameters, regionParameters());
    if (policy) parameters.region_policy = policy;
    for (const name of AMOUNTS) if (policy === name) parameters["region_" + name] = Number(find(name).value);
  }
  return parameters;
}

/** The parameters of a side's request. */
export function parametersOf(side) {
  const method = chosenMethod(side);
  const parameters = parametersOfMethod(method);
  const own = ownParameters(side, catalogue.methods.find(one => one.name === method));
  if (Object.keys(own).length) parameters.method_parameters = own;
  return parameters;
}

/** Sends the tensors with these parameters. */
export function post(operation, parameters, signal, accept) {
  return call(operation + "?" + query(parameters), {
    method: "POST", body: subject.body, signal,
    headers: { "Content-Type": "application/x-safetensors", Accept: accept || "application/json" },
  });
}

/** A method's parameters that differ from their defaults. */
export function ownParameters(side, descriptor) {
  const own = {};
  for (const field of find("parameters-" + side).querySelectorAll("[data-parameter]")) {
    const one = descriptor && descriptor.parameters.find(candidate => candidate.name === field.dataset.parameter);
    if (!one) continue;
    let value = field.value;
    if (one.type === "boolean") value = field.checked;
    else if (one.type !== "string") value = field.value === "" ? undefined : Number(field.value);
    if (value !== undefined && value !== (one.default === undefined ? undefined : one.default)) {
      if (!(one.type === "boolean" && one.default === undefined && value === false)) own[one.name] = value;
    }
  }
  return own;
}
