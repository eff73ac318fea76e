// The curl and Python lines that ask for the same.
import { parametersOf, query } from "./requests.js";
import { SIDES, chosenMethod, element, find, subject } from "./shared.js";

const quoted = text => "'" + text.replaceAll("'", "'\\''") + "'";

export function drawCalls() {
  if (!subject.body) return;
  const file = subject.name + ".safetensors";
  const sides = SIDES.filter(side => chosenMethod(side));
  const withKey = Boolean(find("key").value.trim());
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
    return "{" + Object.entries(value).map(([name, member]) => JSON.stringify(name) + ": " + python(member)).join(", ") + "}";
  }
  return JSON.stringify(value);
}

export async function copy(text, said) {
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
