// A name for a count: the large city that it lies around, the country, or else the coordinates.
import type { Cell } from "../api/types";
import { CITIES } from "./cities";
import { countryAt, type World } from "./world";

const WIDE_DEGREES = 8;
/** At most this many people of a spot are named in the list. */
const MOST_NAMED = 3;

export interface AreaName {
  name: string;
  detail: string | null;
}

/** A city names what lies within this many degrees of it. */
const CITY_DEGREES = 1.6;
const WIDE_REACH_DEGREES = 12;

/** The coarse map is without these, and would name their neighbour. */
const ALONE = new Set(["Singapore", "Hong Kong"]);

export function areaName(cell: Cell, world: World | null): AreaName {
  const [lng, lat] = cell.geometry.coordinates;
  const wide = isWide(cell);
  const city = nearestCity(lng, lat, wide ? WIDE_REACH_DEGREES : CITY_DEGREES);
  const people = peopleAt(cell);
  const country = world === null ? null : countryAt(world, lng, lat);
  if (wide) return { name: `Around ${city ?? country ?? spot(lng, lat)}`, detail: null };
  if (city !== null) return { name: city, detail: people ?? (ALONE.has(city) ? null : country) };
  return { name: country ?? spot(lng, lat), detail: people };
}

/** So wide that its middle says little about where its people are. */
function isWide({ properties: { bbox } }: Cell): boolean {
  const [west, south, east, north] = bbox;
  return Math.max((east - west + 360) % 360, north - south) > WIDE_DEGREES;
}

/** "Ada, Gordon, Grace and 4 more", where the count is one spot. */
function peopleAt({ properties: { count, members = [] } }: Cell): string | null {
  if (members.length === 0) return null;
  const names = members.slice(0, MOST_NAMED).map(({ name }) => name);
  const rest = count - names.length;
  return rest > 0 ? `${names.join(", ")} and ${rest} more` : names.join(", ");
}

export function nearestCity(lng: number, lat: number, within = CITY_DEGREES): string | null {
  let best: string | null = null;
  let reach = within;
  for (const [name, cityLng, cityLat] of CITIES) {
    const east = ((((cityLng - lng + 180) % 360) + 360) % 360) - 180;
    const away = Math.hypot(east * Math.cos((lat * Math.PI) / 180), cityLat - lat);
    if (away < reach) {
      reach = away;
      best = name;
    }
  }
  return best;
}

function spot(lng: number, lat: number): string {
  const north = `${Math.abs(lat).toFixed(1)}° ${lat < 0 ? "S" : "N"}`;
  return `${north}, ${Math.abs(lng).toFixed(1)}° ${lng < 0 ? "W" : "E"}`;
}
