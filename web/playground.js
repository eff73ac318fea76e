// The playground: one request for each method whenever something changes, drawn over the photograph.
import { copy, drawCalls } from "./calls.js";
import { draw, drawGallery, showProblem } from "./figures.js";
import { call, drawnBox, isLocatable, json, ownParameters, parametersOf, parametersOfMethod, post, regionChoice, regionParameters } from "./requests.js";
import { AMOUNTS, Refused, SIDES, catalogue, chosenMethod, defaultMethod, element, find, found, missing, subject } from "./shared.js";
import { chooseSample, settle, takeFiles } from "./subject.js";

const SAMPLES = {
  astronaut: ["face", "flag", "helmet"],
  cat: ["eye", "nose"],
  coffee: ["cup", "espresso", "spoon"],
};
const FIRST_SAMPLE = "cat_eye";
// Longer than a frame, shorter than anyone waits.
const DEBOUNCE = 40;

let turn = 0;
let pending = null;
let timer = null;

// MARK: Asking

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
  const sides = SIDES.filter(side => chosenMethod(side));
  const asked = sides.map(async side => {
    try {
      const response = await post("prune", parametersOf(side), pending.signal);
      shown[side] = await response.json();
      shown[side].milliseconds = timing(response, "compute");
      if (!subject.grid) shown[side].picture = await picture(parametersOf(side));
    } catch (error) { problems[side] = error; }
  });
  if (regionChoice() !== "none" && isLocatable()) {
    asked.push(post("localize", regionParameters(), pending.signal).then(response => response.json()).then(region => {
      shown.region = region;
    }, error => { problems.region = error; }));
  }
  await Promise.all(asked);
  // A later change has asked since.
  if (mine !== turn) return;
  Object.assign(found, shown);
  draw(problems);
  if (find("all").open) askForAll();
}

/** Every method at once, after the two that were asked for. */
async function askForAll() {
  const mine = turn;
  const inside = new Set((found.region && found.region.region_indices) || []);
  const runnable = catalogue.methods.filter(method => !missing(method).length).map(method => method.name);
  const answers = await Promise.all(runnable.map(async method => {
    try {
      const answer = await (await post("prune", parametersOfMethod(method), pending.signal)).json();
      const hits = answer.kept_indices.filter(token => inside.has(token)).length;
      return { method, kept_indices: answer.kept_indices, in_region: inside.size ? hits : undefined };
    } catch {
      // One that cannot run on these tensors is left out.
      return null;
    }
  }));
  if (mine === turn) drawGallery(answers.filter(Boolean), choose);
}

function choose(method) {
  find("method-b").value = method;
  describe("b");
  refresh();
}

function timing(response, phase) {
  const match = new RegExp(phase + ";dur=([0-9.]+)").exec(response.headers.get("Server-Timing") || "");
  return match ? Number(match[1]) : null;
}

/** The server's own drawing, for layouts that are more than one grid. */
async function picture(parameters) {
  const response = await post("prune", parameters, pending.signal, "image/svg+xml");
  return URL.createObjectURL(await response.blob());
}

function limitKeep(count) {
  // A smaller maximum moves the slider, so its place is looked at first.
  const wanted = Number(find("keep").value);
  for (const input of [find("keep"), find("keep-number")]) input.max = count;
  setKeep(wanted > count ? Math.max(1, Math.round(count / 9)) : wanted);
}

// MARK: Methods and their parameters

function listMethods() {
  for (const side of SIDES) {
    const select = find("method-" + side);
    const chosen = select.value;
    const options = catalogue.methods.map(method => {
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
  const method = catalogue.methods.find(one => one.name === chosenMethod(side));
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

// MARK: State in the address

function storeState() {
  const sample = document.querySelector("input[name=sample]:checked");
  const state = {
    sample: sample ? sample.value : "", keep: find("keep").value, a: find("method-a").value, b: find("method-b").value,
    region: regionChoice() === "box" && drawnBox() ? drawnBox().join(",") : regionChoice(), policy: find("policy").value,
    show: ["photo", "map", "region", "grid"].filter(name => find("show-" + name).checked).join(","),
  };
  for (const name of AMOUNTS) if (state.policy === name) state[name] = find(name).value;
  if (find("all").open) state.all = "1";
  for (const side of SIDES) {
    const own = ownParameters(side, catalogue.methods.find(one => one.name === chosenMethod(side)));
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
  for (const name of AMOUNTS) if (state.has(name)) find(name).value = state.get(name);
  find("all").open = state.has("all");
  showAmounts();
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

function showAmounts() {
  for (const name of AMOUNTS) find(name + "-row").hidden = find("policy").value !== name;
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
    showAmounts();
    refresh();
  });
  for (const name of ["photo", "map", "region", "grid"]) {
    find("show-" + name).addEventListener("change", () => { draw({}); storeState(); });
  }
  find("key").addEventListener("change", () => (catalogue.methods.length ? refresh() : start()));
  find("all").addEventListener("toggle", refresh);
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
    catalogue.methods = (await (await call("methods")).json()).methods;
    catalogue.known = [...new Set(["attention", "reference_attention", "image_features", "text_features",
      ...catalogue.methods.flatMap(method => [...method.required_inputs, ...method.optional_inputs])])];
    await restoreState();
  } catch (error) { showProblem(find("problem"), error); }
}

/** After tensors or layout changed. */
subject.changed = () => {
  limitKeep(subject.count);
  listMethods();
  refresh();
};

listSamples();
listen();
start();