// The base map that ships along: Natural Earth countries, projected once into a flat square.
// The coarse set comes with the map; the fine one follows when somebody looks closer.
import { geoContains, geoGraticule, geoMercator, geoPath } from "d3-geo";
import type { Feature, FeatureCollection, MultiPolygon, Polygon, Position } from "geojson";
import { feature } from "topojson-client";
import type { GeometryCollection, Topology } from "topojson-specification";

/** The side of the square that shapes are projected into. */
export const SQUARE = 1000;

export type Detail = "110m" | "50m";

export interface Country {
  name: string;
  path: string;
  /** The bounds in the square: x0, y0, x1, y1. */
  box: [number, number, number, number];
  /** Where the name stands, in the square, and the width of the largest part there. */
  label: { x: number; y: number; width: number; area: number };
  shape: Feature<Polygon | MultiPolygon, { name: string }>;
}

export interface World {
  countries: Country[];
  graticule: string;
}

type Shapes = FeatureCollection<Polygon | MultiPolygon, { name: string }>;
type Atlas = Topology<{ countries: GeometryCollection<{ name: string }> }>;

const loaded = new Map<Detail, Promise<World>>();

export function loadWorld(detail: Detail): Promise<World> {
  const known = loaded.get(detail);
  if (known !== undefined) return known;
  const world = readAtlas(detail).then(projectWorld);
  // A failed download may be tried again.
  world.catch(() => loaded.delete(detail));
  loaded.set(detail, world);
  return world;
}

async function readAtlas(detail: Detail): Promise<Atlas> {
  const file =
    detail === "110m"
      ? await import("world-atlas/countries-110m.json")
      : await import("world-atlas/countries-50m.json");
  return file.default as unknown as Atlas;
}

export function projectWorld(atlas: Atlas): World {
  const shapes = feature(atlas, atlas.objects.countries) as Shapes;
  const projection = geoMercator()
    .scale(SQUARE / (2 * Math.PI))
    .translate([SQUARE / 2, SQUARE / 2])
    .precision(0.05);
  const draw = geoPath(projection).digits(3);

  const largestPart = (shape: Shapes["features"][number]): Country["label"] => {
    let best = { x: 0, y: 0, width: 0, area: -1 };
    for (const coordinates of partsOf(shape.geometry)) {
      const part: Polygon = { type: "Polygon", coordinates };
      const area = draw.area(part);
      if (area <= best.area) continue;
      const [x, y] = draw.centroid(part);
      const [[x0], [x1]] = draw.bounds(part);
      best = { x, y, width: x1 - x0, area };
    }
    return best;
  };

  const countries = shapes.features.map((shape): Country => {
    const [[x0, y0], [x1, y1]] = draw.bounds(shape);
    return {
      name: shape.properties.name,
      path: draw(shape) ?? "",
      box: [x0, y0, x1, y1],
      label: largestPart(shape),
      shape,
    };
  });
  return { countries, graticule: draw(geoGraticule().step([30, 30])()) ?? "" };
}

function partsOf(geometry: Polygon | MultiPolygon): Position[][][] {
  return geometry.type === "Polygon" ? [geometry.coordinates] : geometry.coordinates;
}

/** The country that a point lies in; null on the sea. */
export function countryAt(world: World, lng: number, lat: number): string | null {
  return world.countries.find(({ shape }) => geoContains(shape, [lng, lat]))?.name ?? null;
}
