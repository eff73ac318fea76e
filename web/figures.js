// Draws what the server answered: a figure for each side, their overlap, and a small one for every method.
import { drawing } from "./drawing.js";
import { regionChoice } from "./requests.js";
import { Refused, SIDES, chosenMethod, element, find, found, subject } from "./shared.js";

export function draw(problems) {
  const inside = new Set((found.region && found.region.region_indices) || []);
  const kept = {};
  for (const side of SIDES) {
    const method = chosenMethod(side);
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

export function showProblem(place, error) {
  const isShown = error && error.name !== "AbortError";
  place.hidden = !isShown;
  if (isShown) place.textContent = error instanceof Refused ? error.message : "No response from the server: " + error.message;
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
  const names = SIDES.map(side => chosenMethod(side));
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
    `${both} ${both === 1 ? "token is" : "tokens are"} kept by both, ${share} % of the ${union} that either keeps (Jaccard ${(union ? both / union : 1).toFixed(2)}).`;
  const widths = [a.size - both, both, b.size - both];
  place.querySelectorAll(".bar i").forEach((part, index) => { part.style.flexGrow = widths[index]; });
  place.querySelector(".legend .a").textContent = names[0] === names[1] ? "left only" : "only " + names[0];
  place.querySelector(".legend .b").textContent = names[0] === names[1] ? "right only" : "only " + names[1];
}

function announce(kept) {
  const parts = SIDES.filter(side => kept[side]).map(side =>
    `${chosenMethod(side)} keeps ${kept[side].size} of ${subject.count} tokens`);
  find("status").textContent = parts.join("; ");
}

/** Every method that runs on these tensors; a press takes one to the right side. */
export function drawGallery(answers, choose) {
  const place = find("gallery");
  if (!subject.grid) return place.replaceChildren();
  const left = found.a ? new Set(found.a.kept_indices) : null;
  place.replaceChildren(...answers.map(one => {
    const kept = new Set(one.kept_indices);
    const facts = [`${kept.size} kept`];
    if (one.in_region !== undefined) facts.push(`${one.in_region} in the region`);
    if (left) facts.push(`overlap ${jaccard(left, kept).toFixed(2)}`);
    const made = drawing({
      title: one.method, grid: subject.grid, photo: hasPhoto() ? subject.photo : null, map: null, boxes: boxesShown(),
      layers: [hasPhoto() ? { style: "dim", includes: token => !kept.has(token) } : { style: "kept", includes: token => kept.has(token) }],
    });
    made.setAttribute("aria-hidden", "true");
    return element("button", { type: "button", onclick: () => choose(one.method), "aria-label": `${one.method}: ${facts.join(", ")}. Show it on the right.` },
      element("b", {}, one.method), made, element("span", {}, facts.slice(1).join(" · ") || facts[0]));
  }));
}

/** The share of the tokens in either set that are in both. */
function jaccard(first, second) {
  const both = [...first].filter(token => second.has(token)).length;
  const either = first.size + second.size - both;
  return either ? both / either : 1;
}
