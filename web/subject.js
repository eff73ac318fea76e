// What is asked about: a sample of the server, or files of the user.
import { showProblem } from "./figures.js";
import { call } from "./requests.js";
import { Refused, catalogue, find, subject } from "./shared.js";
import { readFile, readSafetensors, writeSafetensors } from "./tensors.js";

export async function chooseSample(name) {
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
  settle();
}

/** After tensors or layout changed. */
export function settle() {
  const { layout } = subject;
  subject.grid = layout && layout.type === "grid" ? { rows: layout.rows, columns: layout.columns, aspect: subject.aspect } : null;
  if (!subject.photo && subject.grid) subject.grid.aspect = layout.columns / layout.rows;
  subject.body = writeSafetensors(subject.tensors, layout ? { layout } : {});
  subject.changed();
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

export async function takeFiles(files) {
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
      const read = await readFile(file.name, await file.arrayBuffer(), catalogue.known);
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
