// The playground: one request for each method whenever something changes, drawn over the photograph.
import { drawing } from "./drawing.js";
import { readFile, readSafetensors, writeSafetensors } from "./tensors.js";

const SAMPLES = {
  astronaut: ["face", "flag", "helmet"],
  cat: ["eye", "nose"],
  coffee: ["cup", "espresso", "spoon"],
};
const FIRST_SAMPLE = "cat_eye";
const SIDES = ["a", "b"];
// Longer than a frame, shorter than anyone waits.
const DEBOUNCE = 40;

const find = id => document.getElementById(id);
const key = find("key");

// What is asked about: tensors and where they lie.
const subject = { name: "", tensors: {}, layout: null, localize: null, photo: null, aspect: 1, count: 0, body: null };
// What the server said last: the region and map, and each side's answer.
const found = { region: null, a: null, b: null };
let methods = [];
let known = [];
let turn = 0;
let pending = null;
let timer = null;

function element(tag, properties, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name in made) made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...children.filter(child => child !== null));
  return made;
}

// MARK: Asking the server

class Refused extends Error {}

async function call(path, options) {
  const headers = { ...(options || {}).headers };
  if (key.value.trim()) headers.Authorization = "Bearer " + key.value.trim();
  const response = await fetch(path, { ...options, headers });
  if (response.ok) return response;
  if (response.status === 401) {
    find("access").open = true;
    throw new Refused("This server wants an API key: enter one under “API key”.");
  }
  const problem = await response.json().catch(() => ({}));
  throw new Refused(problem.error || "The server answered with status " + response.status + ".");
}

const json = text => JSON.stringify(text);

/** The query of a request: everything but the tensors and the layout. */
function query(parameters) {
  const entries = Object.entries(parameters).map(([name, value]) => [
    name, typeof value === "string" ? value : json(value),
  ]);
  return new URLSearchParams(entries).toString();
}

function regionChoice() { return document.querySelector("input[name=region]:checked").value; }

function drawnBox() {
  const [x0, y0, x1, y1] = [...document.querySelectorAll("[data-side]")].map(input => Number(input.value) / 100);
  return x0 < x1 && y0 < y1 ? [x0, y0, x1, y1] : null;
}

/** Where the region of a request comes from, as parameters. */
function regionParameters() {
  if (regionChoice() === "box" && drawnBox()) return { region: { box: drawnBox() } };
  return { localize: subject.localize || true };
}

/** The parameters of a side's request. */
function parametersOf(side) {
  const method = find("method-" + side).value;
  const descriptor = methods.find(one => one.name === method);
  const parameters = { method, keep_tokens: Number(find("keep").value) };
  const policy = find("policy").value;
  const none = regionChoice() === "none" || policy === "none";
  // The default method looks for a region by itself; the others are told of one where a policy is chosen.
  if (none) {
    if (method === defaultMethod()) parameters.region_policy = "none";
  } else if (policy || method === defaultMethod()) {
    Object.assign(parameters, regionParameters());
    if (policy) parameters.region_policy = policy;
  }
  const own = ownParameters(side, descriptor);
  if (Object.keys(own).length) parameters.method_parameters = own;
  return parameters;
}

function post(operation, parameters, accept) {
  return call(operation + "?" + query(parameters), {
    method: "POST", body: subject.body, signal: pending.signal,
    headers: { "Content-Type": "application/x-safetensors", Accept: accept || "application/json" },
  });
}

/** Asks again soon; of several changes in a row, the last one counts. */
function refresh() {
  clearTimeout(timer);
  timer = setTimeout(ask, DEBOUNCE);
  storeState();
  drawCalls();
}

async function ask() {
  if (!subject.body) return;
  if (pending) pending.abort();
  pending = new AbortController();
  const mine = ++turn;
  const shown = { region: null, a: null, b: null };
  const problems = {};
  const sides = SIDES.filter(side => find("method-" + side).value);
  const asked = sides.map(async side => {
    try {
      const response = await post("prune", parametersOf(side));
      shown[side] = await response.json();
      shown[side].milliseconds = timing(response, "compute");
      if (!subject.grid) shown[side].picture = await picture(parametersOf(side));
    } catch (error) { problems[side] = error; }
  });
  if (regionChoice() !== "none") {
    asked.push(post("localize", regionParameters()).then(response => response.json()).then(region => {
      shown.region = region;
    }, error => { problems.region = error; }));
  }
  await Promise.all(asked);
  // A later change has asked since.
  if (mine !== turn) return;
  Object.assign(found, shown);
  draw(problems);
}

function timing(response, phase) {
  const match = new RegExp(phase + ";dur=([0-9.]+)").exec(response.headers.get("Server-Timing") || "");
  return match ? Number(match[1]) : null;
}

/** The server's own drawing, for layouts that are more than one grid. */
async function picture(parameters) {
  const response = await post("prune", parameters, "image/svg+xml");
  return URL.createObjectURL(await response.blob());
}

// MARK: Drawing

function draw(problems) {
  const inside = new Set((found.region && found.region.region_indices) || []);
  const kept = {};
  for (const side of SIDES) {
    const method = find("method-" + side).value;
    find("figure-" + side).hidden = !method;
    if (!method) continue;
    const answer = found[side];
    kept[side] = answer ? new Set(answer.kept_indices) : null;
    drawFigure(side, method, answer, inside, problems[side]);
  }
  drawOverlap(kept.a, kept.b);
  const problem = problems.region && !problems.a && !problems.b ? problems.region : null;
  showProblem(find("problem"), problem);
  announce(kept);
}

function showProblem(place, error) {
  const isShown = error && error.name !== "AbortError";
  place.hidden = !isShown;
  if (isShown) place.textContent = error instanceof Refused ? error.message : "No answer from the server: " + error.message;
}

function drawFigure(side, method, answer, inside, error) {
  const figure = find("figure-" + side);
  const caption = answer ? `${answer.kept_indices.length} of ${subject.count}` : "";
  figure.querySelector("figcaption").replaceChildren(element("b", {}, method), element("span", {}, caption));
  const place = figure.querySelector(".picture");
  place.classList.toggle("stale", !answer);
  place.classList.toggle("draws", regionChoice() === "box" && Boolean(subject.grid));
  let problem = figure.querySelector(".problem");
  if (!problem) figure.append(problem = element("p", { className: "problem", role: "alert" }));
  showProblem(problem, error);
  const list = figure.querySelector("dl");
  if (!answer) return list.replaceChildren();
  const kept = new Set(answer.kept_indices);
  const title = `${method}: ${kept.size} of ${subject.count} tokens kept`;
  if (answer.picture) {
    place.replaceChildren(element("img", { src: answer.picture, alt: title }));
  } else {
    place.replaceChildren(drawing({
      title, grid: subject.grid, photo: find("show-photo").checked ? subject.photo : null,
      layers: [hasPhoto() ? { style: "dim", includes: token => !kept.has(token) } : { style: "kept", includes: token => kept.has(token) }],
      map: mapShown(), boxes: boxesShown(), lines: find("show-grid").checked,
    }));
  }
  const hits = [...inside].filter(token => kept.has(token)).length;
  list.replaceChildren(
    fact("in the region", inside.size ? `${hits} of ${inside.size}` : "–"),
    fact("decided by", answer.decided_by),
    fact("server", answer.milliseconds === null ? "–" : `${answer.milliseconds.toFixed(2)} ms`));
}

const fact = (name, value) => element("div", {}, element("dt", {}, name), element("dd", {}, value));
const hasPhoto = () => Boolean(subject.photo) && find("show-photo").checked;

function mapShown() {
  const map = found.region && found.region.saliency;
  if (!find("show-map").checked || !map) return null;
  const side = map.shape[map.shape.length - 1];
  return { side, data: map.data.slice(0, side * side) };
}

function boxesShown() {
  if (!find("show-region").checked || !found.region || found.region.whole_image) return [];
  return found.region.regions.map(region => region.box);
}

function drawOverlap(a, b) {
  const place = find("overlap");
  place.hidden = !(a && b && subject.grid);
  if (place.hidden) return;
  const both = [...a].filter(token => b.has(token)).length;
  const union = a.size + b.size - both;
  const names = SIDES.map(side => find("method-" + side).value);
  place.querySelector(".picture").replaceChildren(drawing({
    title: `${both} tokens are kept by both`, grid: subject.grid, photo: null, boxes: boxesShown(), map: null,
    layers: [
      { style: "only-a", includes: token => a.has(token) && !b.has(token) },
      { style: "only-b", includes: token => b.has(token) && !a.has(token) },
      { style: "both-kept", includes: token => a.has(token) && b.has(token) },
    ],
  }));
  const share = union ? Math.round(100 * both / union) : 100;
  find("overlap-text").textContent =
    `${both} tokens are kept by both, ${share} % of the ${union} that either keeps (Jaccard ${(union ? both / union : 1).toFixed(2)}).`;
  const widths = [a.size - both, both, b.size - both];
  place.querySelectorAll(".bar i").forEach((part, index) => { part.style.flexGrow = widths[index]; });
  place.querySelector(".legend .a").textContent = names[0] === names[1] ? "left only" : "only " + names[0];
  place.querySelector(".legend .b").textContent = names[0] === names[1] ? "right only" : "only " + names[1];
}

function announce(kept) {
  const parts = SIDES.filter(side => kept[side]).map(side =>
    `${find("method-" + side).value} keeps ${kept[side].size} of ${subject.count} tokens`);
  find("status").textContent = parts.join("; ");
}

// MARK: The calls that do the same

const quoted = text => "'" + text.replaceAll("'", "'\\''") + "'";

function drawCalls() {
  if (!subject.body) return;
  const file = subject.name + ".safetensors";
  const sides = SIDES.filter(side => find("method-" + side).value);
  const withKey = Boolean(key.value.trim());
  find("curl").textContent = sides.map(side =>
    "curl -s --data-binary @" + quoted(file) + (withKey ? " \\\n  -H \"Authorization: Bearer $CROP_KEY\"" : "")
    + " \\\n  " + quoted(address() + "prune?" + decodeURIComponentSafely(query(parametersOf(side))))).join("\n\n");
  const layout = subject.layout ? ", layout=" + python(subject.layout) : "";
  const lines = [
    "from crop_client import Client", "from safetensors.numpy import load_file", "",
    `tensors = load_file(${python(file)})`,
    withKey ? `client = Client(${python(address())}, api_key=os.environ["CROP_KEY"])` : `client = Client(${python(address())})`,
    ...sides.map(side => {
      const given = Object.entries(parametersOf(side)).map(([name, value]) => `${name}=${python(value)}`).join(", ");
      return `print(client.prune(${given}${layout}, **tensors).kept_indices)`;
    }),
  ];
  if (withKey) lines.unshift("import os");
  find("python").textContent = lines.join("\n");
}

const address = () => new URL("./", location.href.split("#")[0]).href;

/** The query with what curl and the server take as it is, for people to read. */
function decodeURIComponentSafely(text) {
  return text.replaceAll("%22", "\"").replaceAll("%3A", ":").replaceAll("%2C", ",").replace(/[{}[\]"]/g, encodeURIComponent)
    .replaceAll("%5B", "%5B");
}

function python(value) {
  if (value === true) return "True";
  if (value === false) return "False";
  if (value === null) return "None";
  if (Array.isArray(value)) return "[" + value.map(python).join(", ") + "]";
  if (typeof value === "object") {
    return "{" + Object.entries(value).map(([name, member]) => json(name) + ": " + python(member)).join(", ") + "}";
  }
  return json(value);
}

async function copy(text, said) {
  let done = false;
  try {
    await navigator.clipboard.writeText(text);
    done = true;
  } catch {
    // Only secure contexts have the clipboard; elsewhere a selection is copied.
    const area = element("textarea", { value: text, readOnly: true, className: "visually-hidden" });
    document.body.append(area);
    area.select();
    done = document.execCommand("copy");
    area.remove();
  }
  find("copied").textContent = done ? said : "Select the text and copy it.";
  setTimeout(() => { find("copied").textContent = ""; }, 2500);
}

// MARK: What is asked about

async function chooseSample(name) {
  const [picture] = name.split("_");
  const load = async file => new Uint8Array(await (await call("assets/" + file)).arrayBuffer());
  const [features, attention] = await Promise.all([load(name + ".safetensors"), load(name + "_attention.safetensors")]);
  const read = readSafetensors(features);
  Object.assign(subject, { name: name + "_tensors", photo: "assets/" + picture + ".jpg", aspect: 1 });
  take({ ...read.tensors, ...readSafetensors(attention).tensors }, read.parameters);
}

/** Takes tensors and what their file says of them. */
function take(tensors, parameters) {
  const count = tokenCount(tensors);
  if (!count) throw new Error("no tensor tells how many tokens there are: send image_features [N, D] or attention [heads, N]");
  const side = Math.round(Math.sqrt(count));
  subject.tensors = tensors;
  subject.count = count;
  subject.localize = parameters.localize || null;
  subject.layout = parameters.layout || (side * side === count ? { type: "grid", rows: side, columns: side } : null);
  find("grid-row").hidden = Boolean(parameters.layout);
  if (subject.layout && subject.layout.type === "grid") {
    [find("rows").value, find("columns").value] = [subject.layout.rows, subject.layout.columns];
  }
  limitKeep(count);
  settle();
}

/** After tensors or layout changed. */
function settle() {
  const { layout } = subject;
  subject.grid = layout && layout.type === "grid" ? { rows: layout.rows, columns: layout.columns, aspect: subject.aspect } : null;
  if (!subject.photo && subject.grid) subject.grid.aspect = layout.columns / layout.rows;
  subject.body = writeSafetensors(subject.tensors, layout ? { layout } : {});
  listMethods();
  refresh();
}

function tokenCount(tensors) {
  for (const name of ["image_features", "encoder_features"]) {
    if (tensors[name]) return tensors[name].shape[tensors[name].shape.length - 2];
  }
  for (const name of ["attention", "reference_attention"]) {
    if (tensors[name]) return tensors[name].shape[tensors[name].shape.length - 1];
  }
  return 0;
}

function limitKeep(count) {
  // A smaller maximum moves the slider, so its place is looked at first.
  const wanted = Number(find("keep").value);
  for (const input of [find("keep"), find("keep-number")]) input.max = count;
  setKeep(wanted > count ? Math.max(1, Math.round(count / 9)) : wanted);
}

async function takeFiles(files) {
  try {
    showProblem(find("problem"), null);
    let tensors = {};
    let parameters = {};
    let name = "";
    for (const file of files) {
      if (file.type.startsWith("image/")) {
        await takePhoto(file);
        continue;
      }
      const read = await readFile(file.name, await file.arrayBuffer(), known);
      name = name || file.name.replace(/\.[^.]*$/, "");
      tensors = { ...tensors, ...read.tensors };
      parameters = { ...parameters, ...read.parameters };
    }
    if (!name) return settle();
    for (const chip of document.querySelectorAll("input[name=sample]")) chip.checked = false;
    if (![...files].some(file => file.type.startsWith("image/")) && subject.photo && subject.photo.startsWith("assets/")) {
      subject.photo = null;
    }
    subject.name = name;
    take(tensors, parameters);
  } catch (error) {
    showProblem(find("problem"), new Refused(error.message));
  }
}

async function takePhoto(file) {
  const url = URL.createObjectURL(file);
  const image = new Image();
  image.src = url;
  await image.decode().catch(() => { throw new Error(file.name + " is not a picture that this browser shows"); });
  subject.photo = url;
  subject.aspect = image.naturalWidth / image.naturalHeight;
}

// MARK: Methods and their parameters

const defaultMethod = () => methods.length ? methods[0].name : "";

function missing(method) { return method.required_inputs.filter(name => !subject.tensors[name]); }

function listMethods() {
  for (const side of SIDES) {
    const select = find("method-" + side);
    const chosen = select.value;
    const options = methods.map(method => {
      const lacks = missing(method);
      return element("option", { value: method.name, disabled: lacks.length > 0 },
        lacks.length ? `${method.name} (needs ${lacks.join(", ")})` : method.name);
    });
    if (side === "b") options.unshift(element("option", { value: "" }, "none"));
    select.replaceChildren(...options);
    select.value = chosen;
    const usable = select.selectedOptions[0] && !select.selectedOptions[0].disabled;
    if (!usable) select.value = side === "a" ? defaultMethod() : "";
    describe(side);
  }
}

function describe(side) {
  const method = methods.find(one => one.name === find("method-" + side).value);
  find("summary-" + side).textContent = method ? method.summary : "";
  const details = find("parameters-" + side);
  if (details.dataset.method === (method ? method.name : "")) return;
  details.dataset.method = method ? method.name : "";
  const own = method ? method.parameters.filter(one => one.only !== "compress") : [];
  details.hidden = !own.length;
  details.querySelector("div").replaceChildren(...own.map(one => parameterField(side, one)));
}

function parameterField(side, one) {
  let field;
  if (one.enum) {
    field = element("select", {}, ...one.enum.map(value => element("option", {}, value)));
  } else if (one.type === "boolean") {
    field = element("input", { type: "checkbox" });
  } else {
    field = element("input", { type: "number", step: one.type === "integer" ? 1 : "any" });
    if (one.minimum !== undefined) field.min = one.minimum;
    if (one.maximum !== undefined) field.max = one.maximum;
  }
  field.dataset.parameter = one.name;
  if (one.type === "boolean") field.checked = one.default === true;
  else if (one.default !== undefined && one.default !== null) field.value = one.default;
  field.title = one.summary;
  return element("label", { title: one.summary }, one.name, field);
}

/** A method's parameters that differ from their defaults. */
function ownParameters(side, descriptor) {
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

// MARK: State in the address

function storeState() {
  const sample = document.querySelector("input[name=sample]:checked");
  const state = {
    sample: sample ? sample.value : "", keep: find("keep").value, a: find("method-a").value, b: find("method-b").value,
    region: regionChoice() === "box" && drawnBox() ? drawnBox().join(",") : regionChoice(), policy: find("policy").value,
    show: ["photo", "map", "region", "grid"].filter(name => find("show-" + name).checked).join(","),
  };
  for (const side of SIDES) {
    const own = ownParameters(side, methods.find(one => one.name === find("method-" + side).value));
    if (Object.keys(own).length) state["p" + side] = json(own);
  }
  const hash = new URLSearchParams(Object.entries(state)).toString();
  if (location.hash.slice(1) !== hash) history.replaceState(null, "", "#" + hash);
}

async function restoreState() {
  const state = new URLSearchParams(location.hash.slice(1));
  const wanted = state.get("sample") || FIRST_SAMPLE;
  const chip = document.querySelector(`input[name=sample][value="${CSS.escape(wanted)}"]`) || document.querySelector("input[name=sample]");
  chip.checked = true;
  const [a, b] = [state.get("a") || defaultMethod(), state.has("b") ? state.get("b") : "divprune"];
  for (const name of ["photo", "map", "region", "grid"]) {
    if (state.has("show")) find("show-" + name).checked = state.get("show").split(",").includes(name);
  }
  const region = state.get("region") || "auto";
  const box = region.split(",").map(Number);
  if (box.length === 4 && box.every(Number.isFinite)) setBox(box);
  const choice = document.querySelector(`input[name=region][value="${box.length === 4 ? "box" : CSS.escape(region)}"]`);
  if (choice) choice.checked = true;
  find("box").hidden = regionChoice() !== "box";
  if (state.has("policy")) find("policy").value = state.get("policy");
  if (Number(state.get("keep")) >= 1) setKeep(Number(state.get("keep")));
  // Tensors first: they tell which methods there are to choose from.
  await chooseSample(chip.value);
  for (const [side, method] of [["a", a], ["b", b]]) {
    const option = [...find("method-" + side).options].find(one => one.value === method && !one.disabled);
    if (option) find("method-" + side).value = method;
    describe(side);
    restoreParameters(side, state.get("p" + side));
  }
  refresh();
}

function restoreParameters(side, text) {
  let own = {};
  try { own = JSON.parse(text || "{}"); } catch { return; }
  for (const field of find("parameters-" + side).querySelectorAll("[data-parameter]")) {
    const value = own[field.dataset.parameter];
    if (value === undefined) continue;
    if (field.type === "checkbox") field.checked = value === true; else field.value = value;
  }
}

// MARK: Controls

function setKeep(count) {
  find("keep").value = count;
  find("keep-number").value = count;
  showShare();
}

function showShare() {
  const [count, total] = [Number(find("keep").value), Number(find("keep").max)];
  find("keep-share").textContent = (100 * count / total).toFixed(1) + " %";
  find("keep").setAttribute("aria-valuetext", `${count} of ${total} tokens`);
}

function setBox(box) {
  document.querySelectorAll("[data-side]").forEach((input, index) => {
    input.value = Math.round(1000 * Math.min(Math.max(box[index], 0), 1)) / 10;
  });
}

/** Lets a region be dragged over a picture. */
function dragBox(place) {
  let start = null;
  const point = event => {
    const area = place.firstElementChild.getBoundingClientRect();
    return [(event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height];
  };
  place.addEventListener("pointerdown", event => {
    if (regionChoice() !== "box" || !subject.grid) return;
    start = point(event);
    place.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  place.addEventListener("pointermove", event => {
    if (!start) return;
    const [x, y] = point(event);
    setBox([Math.min(start[0], x), Math.min(start[1], y), Math.max(start[0], x), Math.max(start[1], y)]);
    refresh();
  });
  for (const name of ["pointerup", "pointercancel"]) place.addEventListener(name, () => { start = null; });
}

function listSamples() {
  find("sample-list").replaceChildren(...Object.entries(SAMPLES).map(([picture, things]) => {
    const chips = things.map(thing => element("label", { className: "chip" },
      element("input", { type: "radio", name: "sample", value: picture + "_" + thing, "aria-label": `${picture}: where is the ${thing}?` }),
      element("span", {}, thing + "?")));
    return element("div", { className: "photo" },
      element("img", { src: "assets/" + picture + ".jpg", alt: "", width: 64, height: 64 }),
      element("div", { className: "chips", role: "group", "aria-label": picture }, ...chips));
  }));
}

function listen() {
  find("keep").addEventListener("input", () => { setKeep(Number(find("keep").value)); refresh(); });
  find("keep-number").addEventListener("input", () => {
    const count = Number(find("keep-number").value);
    if (count >= 1 && count <= Number(find("keep").max)) { find("keep").value = count; showShare(); refresh(); }
  });
  find("sample-list").addEventListener("change", event => {
    chooseSample(event.target.value).catch(error => showProblem(find("problem"), error));
  });
  for (const side of SIDES) {
    find("method-" + side).addEventListener("change", () => { describe(side); refresh(); });
    find("parameters-" + side).addEventListener("input", refresh);
    dragBox(find("figure-" + side).querySelector(".picture"));
  }
  find("region").addEventListener("input", event => {
    const box = found.region && found.region.regions[0] && found.region.regions[0].box;
    if (event.target.name === "region") {
      find("box").hidden = regionChoice() !== "box";
      // A drawn region begins as the one that was found.
      if (regionChoice() === "box" && !drawnBox()) setBox(box || [0.25, 0.25, 0.75, 0.75]);
    }
    refresh();
  });
  for (const name of ["photo", "map", "region", "grid"]) {
    find("show-" + name).addEventListener("change", () => { draw({}); storeState(); });
  }
  find("key").addEventListener("change", () => (methods.length ? refresh() : start()));
  for (const name of ["rows", "columns"]) find(name).addEventListener("change", changeGrid);
  find("tensor-files").addEventListener("change", event => takeFiles(event.target.files));
  find("photo-file").addEventListener("change", event => takeFiles(event.target.files));
  listenForDrops();
  find("controls").addEventListener("submit", event => event.preventDefault());
  find("save").addEventListener("click", saveTensors);
  find("link").addEventListener("click", () => copy(location.href, "The link is copied."));
  for (const button of document.querySelectorAll("[data-copies]")) {
    button.addEventListener("click", () => copy(find(button.dataset.copies).textContent, "Copied."));
  }
  window.addEventListener("hashchange", () => restoreState());
}

function changeGrid() {
  const [rows, columns] = [Number(find("rows").value), Number(find("columns").value)];
  if (rows * columns !== subject.count) {
    return showProblem(find("problem"), new Refused(`${rows} × ${columns} is not ${subject.count}, the number of tokens.`));
  }
  showProblem(find("problem"), null);
  subject.layout = { type: "grid", rows, columns };
  return settle();
}

function listenForDrops() {
  const zone = find("drop");
  for (const name of ["dragover", "dragleave", "drop"]) {
    window.addEventListener(name, event => {
      event.preventDefault();
      zone.classList.toggle("over", name === "dragover");
      if (name === "dragover") find("own").open = true;
      if (name === "drop") takeFiles(event.dataTransfer.files);
    });
  }
}

function saveTensors() {
  const url = URL.createObjectURL(new Blob([subject.body], { type: "application/octet-stream" }));
  element("a", { href: url, download: subject.name + ".safetensors" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

async function start() {
  try {
    methods = (await (await call("methods")).json()).methods;
    known = [...new Set(["attention", "reference_attention", "image_features", "text_features",
      ...methods.flatMap(method => [...method.required_inputs, ...method.optional_inputs])])];
    await restoreState();
  } catch (error) { showProblem(find("problem"), error); }
}

listSamples();
listen();
start();
