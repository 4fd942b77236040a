// What becomes of a place as it is typed: coordinates, the one place that is meant, or one of several.
import type { Place } from "../api/types";
import type { Form } from "./form";

export interface Spot {
  lat: number;
  lng: number;
}

const NUMBER = String.raw`(-?\d{1,3}(?:\.\d{1,10})?)\s*°?\s*`;
const COORDINATES = new RegExp(`^\\s*${NUMBER}([NS])?\\s*[,; ]\\s*${NUMBER}([EW])?\\s*$`, "i");

/** "48.86, 2.35" or "48.86° N, 2.35° E": degrees north, then degrees east. */
export function coordinatesIn(text: string): Spot | null {
  const found = COORDINATES.exec(text);
  if (found === null) return null;
  const [, north, northSouth, east, eastWest] = found;
  const lat = Number(north) * (northSouth?.toUpperCase() === "S" ? -1 : 1);
  const lng = Number(east) * (eastWest?.toUpperCase() === "W" ? -1 : 1);
  return Math.abs(lat) <= 90 && Math.abs(lng) <= 180 ? { lat, lng } : null;
}

/** 37.77, -122.42 → "37.8° N, 122.4° W" */
export function degrees({ lat, lng }: Spot): string {
  const part = (value: number, more: string, less: string): string =>
    `${Math.abs(value).toFixed(1)}° ${value < 0 ? less : more}`;
  return `${part(lat, "N", "S")}, ${part(lng, "E", "W")}`;
}

const plain = (text: string): string =>
  text.normalize("NFKD").replace(/\p{M}/gu, "").trim().toLowerCase();

/** Places that bear just this name, whatever country they are in. */
export function namesakes(typed: string, found: Place[]): Place[] {
  const name = plain(typed);
  return found.filter(({ label }) => plain(label.split(",")[0] ?? "") === name);
}

export interface PlaceNote {
  kind: "pinned" | "several" | "unknown";
  text: string;
}

/**
 * What will become of the place if the form is sent as it is. `found` is null until the server has
 * said what it knows of this very text; then nothing is said.
 */
export function placeNote(place: Form["place"], found: Place[] | null): PlaceNote | null {
  const typed = place.label.trim();
  if (place.spot !== null) return { kind: "pinned", text: `Your pin: ${degrees(place.spot)}` };
  if (found === null || typed.length < 2) return null;
  const [likeliest] = found;
  if (likeliest === undefined) {
    const text = "This place is not known here. Without coordinates (48.86, 2.35) there is no pin.";
    return { kind: "unknown", text };
  }
  const same = namesakes(typed, found);
  if (same.length < 2) return null;
  return {
    kind: "several",
    text: `${same.length} places have this name. Choose one, or the likeliest is taken.`,
  };
}

/** Tells namesakes apart: "about 870,000 people". */
export function people(population: number): string {
  if (population <= 0) return "";
  const digits = Math.max(0, Math.floor(Math.log10(population)) - 1);
  const rounded = Math.round(population / 10 ** digits) * 10 ** digits;
  return `${new Intl.NumberFormat("en").format(rounded)} people`;
}
