// Reads and writes tensor files in the browser: .safetensors, .npy, .npz and .json.
//
// A file becomes { tensors: { name: { dtype, shape, bytes } }, parameters }, with dtype as safetensors names it.

const NUMPY = {
  "f2": "F16", "f4": "F32", "f8": "F64", "i1": "I8", "i2": "I16", "i4": "I32", "i8": "I64", "u1": "U8", "u2": "U16",
  "u4": "U32", "u8": "U64", "b1": "BOOL",
};
const WIDTHS = {
  F64: 8, F32: 4, F16: 2, BF16: 2, I64: 8, I32: 4, I16: 2, I8: 1, U64: 8, U32: 4, U16: 2, U8: 1, BOOL: 1,
};

/** -> what a file holds. Throws an Error whose message is for people. */
export async function readFile(name, buffer, knownNames) {
  const bytes = new Uint8Array(buffer);
  const begins = (...start) => start.every((byte, index) => bytes[index] === byte);
  const stem = name.replace(/^.*[\\/]/, "").replace(/\.[^.]*$/, "");
  if (begins(0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59)) {
    const tensor = readNPY(bytes);
    return { tensors: { [tensorName(stem, tensor, knownNames)]: tensor }, parameters: {} };
  }
  if (begins(0x50, 0x4b, 3, 4)) return readNPZ(bytes, knownNames);
  if (bytes.length > 8 && bytes[8] === 0x7b) return readSafetensors(bytes);
  if (/^\s*\{/.test(new TextDecoder().decode(bytes.slice(0, 64)))) return readJSON(bytes, knownNames);
  throw new Error(name + " is none of .safetensors, .npy, .npz and .json");
}

/** The name of a tensor whose file does not say it. */
function tensorName(stem, tensor, knownNames) {
  if (knownNames.includes(stem)) return stem;
  const [rows, columns] = tensor.shape.slice(-2);
  const isFeatures = tensor.shape.length === 2 && rows >= 16 && rows !== columns && (rows > 64 || columns < rows);
  return isFeatures ? "image_features" : "attention";
}

export function readSafetensors(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = Number(view.getBigUint64(0, true));
  if (length > bytes.length - 8) throw new Error("the safetensors file is cut off");
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  const { __metadata__: metadata, ...entries } = header;
  const tensors = {};
  for (const [name, entry] of Object.entries(entries)) {
    const [start, end] = entry.data_offsets;
    tensors[name] = { dtype: entry.dtype, shape: entry.shape, bytes: bytes.subarray(8 + length + start, 8 + length + end) };
  }
  return { tensors, parameters: metadata && metadata.parameters ? JSON.parse(metadata.parameters) : {} };
}

/** -> the bytes of a safetensors file. */
export function writeSafetensors(tensors, parameters) {
  const header = { __metadata__: { parameters: JSON.stringify(parameters) } };
  let end = 0;
  for (const [name, tensor] of Object.entries(tensors)) {
    header[name] = { dtype: tensor.dtype, shape: tensor.shape, data_offsets: [end, end + tensor.bytes.length] };
    end += tensor.bytes.length;
  }
  let text = JSON.stringify(header);
  let head = new TextEncoder().encode(text);
  // Data begins at a multiple of eight.
  text += " ".repeat((8 - head.length % 8) % 8);
  head = new TextEncoder().encode(text);
  const file = new Uint8Array(8 + head.length + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(head.length), true);
  file.set(head, 8);
  let position = 8 + head.length;
  for (const tensor of Object.values(tensors)) {
    file.set(tensor.bytes, position);
    position += tensor.bytes.length;
  }
  return file;
}

function readNPY(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const long = bytes[6] > 1;
  const start = long ? 12 : 10;
  const length = long ? view.getUint32(8, true) : view.getUint16(8, true);
  const header = new TextDecoder().decode(bytes.subarray(start, start + length));
  const descr = /'descr'\s*:\s*'([^']*)'/.exec(header);
  const shape = /'shape'\s*:\s*\(([^)]*)\)/.exec(header);
  if (!descr || !shape) throw new Error("the .npy file has no plain array in it");
  if (/'fortran_order'\s*:\s*True/.test(header)) throw new Error("the .npy file is in Fortran order; save numpy.ascontiguousarray(x)");
  const dtype = NUMPY[descr[1].slice(1)];
  if (!dtype || descr[1][0] === ">") throw new Error("the .npy file holds " + descr[1] + "; save it as float32 or float16");
  const extents = shape[1].split(",").map(part => part.trim()).filter(Boolean).map(Number);
  const count = extents.reduce((product, extent) => product * extent, WIDTHS[dtype]);
  const data = bytes.subarray(start + length, start + length + count);
  if (data.length < count) throw new Error("the .npy file is cut off");
  return { dtype, shape: extents, bytes: data };
}

async function readNPZ(bytes, knownNames) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let end = bytes.length - 22;
  while (end >= 0 && view.getUint32(end, true) !== 0x06054b50) end -= 1;
  if (end < 0) throw new Error("the .npz file has no directory; it is cut off");
  const tensors = {};
  let place = view.getUint32(end + 16, true);
  for (let index = view.getUint16(end + 10, true); index > 0; index -= 1) {
    const method = view.getUint16(place + 10, true);
    const size = view.getUint32(place + 20, true);
    const lengths = [28, 30, 32].map(offset => view.getUint16(place + offset, true));
    const local = view.getUint32(place + 42, true);
    const name = new TextDecoder().decode(bytes.subarray(place + 46, place + 46 + lengths[0]));
    const start = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true);
    let data = bytes.slice(start, start + size);
    if (method === 8) {
      const stream = new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
      data = new Uint8Array(await new Response(stream).arrayBuffer());
    } else if (method !== 0) throw new Error(name + " is compressed in a way that .npz files are not");
    const tensor = readNPY(data);
    tensors[tensorName(name.replace(/\.npy$/, ""), tensor, knownNames)] = tensor;
    place += 46 + lengths[0] + lengths[1] + lengths[2];
  }
  return { tensors, parameters: {} };
}

function readJSON(bytes, knownNames) {
  const tensors = {};
  const parameters = {};
  for (const [name, value] of Object.entries(JSON.parse(new TextDecoder().decode(bytes)))) {
    const isTensor = value && (Array.isArray(value) ? knownNames.includes(name) : value.dtype && value.shape);
    if (isTensor) tensors[name] = ofJSON(name, value);
    else parameters[name] = value;
  }
  return { tensors, parameters };
}

function ofJSON(name, value) {
  if (!Array.isArray(value)) {
    if (value.base64) {
      const bytes = Uint8Array.from(atob(value.base64), letter => letter.charCodeAt(0));
      return { dtype: value.dtype, shape: value.shape, bytes };
    }
    return { dtype: "F32", shape: value.shape, bytes: floats(value.data.flat(Infinity)) };
  }
  const shape = [];
  for (let level = value; Array.isArray(level); level = level[0]) shape.push(level.length);
  const numbers = value.flat(Infinity);
  if (numbers.length !== shape.reduce((product, extent) => product * extent, 1)) {
    throw new Error(name + " has rows of different lengths");
  }
  return { dtype: "F32", shape, bytes: floats(numbers) };
}

const floats = numbers => new Uint8Array(Float32Array.from(numbers).buffer);
