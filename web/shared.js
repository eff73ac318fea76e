// What the modules of the playground share: the subject, what was found about it, and small helpers.

export const SIDES = ["a", "b"];
// Region policies that need a number.
export const AMOUNTS = ["share", "bias"];

export const find = id => document.getElementById(id);

/** What is asked about: tensors and where they lie. */
export const subject = {
  name: "", tensors: {}, layout: null, grid: null, localize: null, photo: null, aspect: 1, count: 0, body: null,
};

/** What the server said last: the region and its map, each side's answer, and all methods' where they are shown. */
export const found = { region: null, a: null, b: null, all: null };

/** What the server can do: its methods, the default first, and the names of tensors. */
export const catalogue = { methods: [], known: [] };

export const defaultMethod = () => catalogue.methods.length ? catalogue.methods[0].name : "";
export const chosenMethod = side => find("method-" + side).value;

/** The tensors that a method cannot do without and that are not there. */
export const missing = method => method.required_inputs.filter(name => !subject.tensors[name]);

/** A message for people. */
export class Refused extends Error {}

export function element(tag, properties, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name in made) made[name] = value; else made.setAttribute(name, value);
  }
  made.append(...children.filter(child => child !== null));
  return made;
}
