// The whole world at any zoom, from answers that are limited: boxes that do not overlap, cut smaller where
// the api answers at a lesser zoom than it was asked for.

/** Where the squares of the map begin and end, in degrees, as the api counts them. */
function bounds(depth, x, y) {
  const side = 2 ** depth;
  const lng = (column) => (column / side) * 360 - 180;
  const lat = (row) => (Math.atan(Math.sinh(Math.PI * (1 - (2 * row) / side))) * 180) / Math.PI;
  // A hair within, so that no neighbour's cell is touched. Beyond the outermost rows lie the poles.
  const hair = 1e-7;
  const north = y === 0 ? 90 : lat(y) - hair;
  const south = y === side - 1 ? -90 : lat(y + 1) + hair;
  return [lng(x) + hair, south, lng(x + 1) - hair, north];
}

/** A cell's zoom; null for a pin, which has none. */
function zoomOf({ id, properties }) {
  return "name" in properties ? null : Number(id.split("/")[0]);
}

/**
 * Asks until every part of the world has been answered at `zoom`. `ask(bbox, zoom)` gives an answer of the
 * api; what comes back are the counts and how often it was asked.
 */
export async function wholeWorld(ask, zoom) {
  let sum = 0;
  let cells = 0;
  let asked = 0;
  const squares = [[0, 0, 0]];
  while (squares.length > 0) {
    const [depth, x, y] = squares.pop();
    const { features } = await ask(bounds(depth, x, y), zoom);
    asked += 1;
    const lesser = features.some((feature) => {
      const at = zoomOf(feature);
      return at !== null && at < zoom;
    });
    if (lesser) {
      // Cells of a lesser zoom may reach out of the box.
      for (const [dx, dy] of [
        [0, 0],
        [1, 0],
        [0, 1],
        [1, 1],
      ]) {
        squares.push([depth + 1, 2 * x + dx, 2 * y + dy]);
      }
      continue;
    }
    cells += features.length;
    for (const { properties } of features) sum += properties.count;
  }
  return { sum, cells, asked };
}
