// Draws tokens over a photograph, as SVG elements.

const SVG = "http://www.w3.org/2000/svg";
const UNIT = 1000;

function node(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Path data of the cells that `includes` a token: neighbours in a row are one rectangle. */
export function cells(rows, columns, includes) {
  let path = "";
  for (let row = 0; row < rows; row += 1) {
    for (let column = 0; column < columns; column += 1) {
      const start = column;
      while (column < columns && includes(row * columns + column)) column += 1;
      if (column > start) path += `M${start} ${row}h${column - start}v1h${start - column}z`;
    }
  }
  return path;
}

/**
 * -> an SVG element.
 *
 * `grid` has rows, columns and the aspect (width over height) of the picture; `layers` are { style, includes } over its
 * cells; `map` is { side, data }, `boxes` are [x0, y0, x1, y1] in 0...1.
 */
export function drawing({ title, grid, photo, layers, map, boxes, lines }) {
  const height = Math.max(1, Math.round(UNIT / grid.aspect));
  const parts = [node("title", {}, title)];
  const scaled = (rows, columns) => `scale(${UNIT / columns} ${height / rows})`;
  if (photo) {
    parts.push(node("image", { href: photo, width: UNIT, height, preserveAspectRatio: "none" }));
  } else {
    parts.push(node("rect", { class: "cell", width: UNIT, height }));
  }
  if (map) parts.push(...mapLayers(map, scaled(map.side, map.side), photo ? 0.6 : 0.8));
  for (const { style, includes } of layers) {
    const path = cells(grid.rows, grid.columns, includes);
    parts.push(node("path", { class: style, transform: scaled(grid.rows, grid.columns), d: path }));
  }
  if (lines) {
    let path = "";
    for (let row = 1; row < grid.rows; row += 1) path += `M0 ${row}h${grid.columns}`;
    for (let column = 1; column < grid.columns; column += 1) path += `M${column} 0v${grid.rows}`;
    parts.push(node("path", { class: "gridline", transform: scaled(grid.rows, grid.columns), d: path }));
  }
  for (const style of ["halo", "region"]) {
    for (const [x0, y0, x1, y1] of boxes) {
      parts.push(node("rect", {
        class: style, x: x0 * UNIT, y: y0 * height, width: (x1 - x0) * UNIT, height: (y1 - y0) * height,
      }));
    }
  }
  return node("svg", { viewBox: `0 0 ${UNIT} ${height}`, role: "img" }, ...parts);
}

const LEVELS = 10;

function mapLayers({ side, data }, transform, strongest) {
  const low = Math.min(...data);
  const high = Math.max(...data);
  if (!(high > low)) return [];
  const level = value => Math.round((value - low) / (high - low) * LEVELS);
  return Array.from({ length: LEVELS }, (_, index) => node("path", {
    class: "heat", "fill-opacity": strongest * (index + 1) / LEVELS, transform,
    d: cells(side, side, block => level(data[block]) === index + 1),
  }));
}
