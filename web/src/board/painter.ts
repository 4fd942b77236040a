// Dots on a canvas: thousands of places, of which only those that grew are drawn again.
import { type Plane, placeOn, scaleOf } from "./plane";

export interface Dot {
  lng: number;
  lat: number;
  count: number;
}

interface Colours {
  dot: string;
  edge: string;
}

const FLASH_MS = 1_100;
/** More rings than this at a time would be a fog. */
const MOST_FLASHES = 90;

/** Grows with the logarithm, as the counts on the map do. */
export function dotRadius(count: number, scale: number): number {
  return scale * (2.1 + 1.75 * Math.log10(Math.max(1, count)));
}

const FEW_DOTS = 30;
const MANY_DOTS = 1_500;
const LARGEST = 2.4;

/** A few dots are seen from the last row, too; many stay small, so that they stand apart. */
export function dotBoost(dots: number): number {
  const share = Math.log(Math.max(dots, FEW_DOTS) / FEW_DOTS) / Math.log(MANY_DOTS / FEW_DOTS);
  return 1 + (LARGEST - 1) * (1 - Math.min(1, share));
}

interface Flash {
  x: number;
  y: number;
  radius: number;
  since: number;
}

export class Painter {
  private readonly dots: CanvasRenderingContext2D | null;
  private readonly flashes: CanvasRenderingContext2D | null;
  private readonly scale: number;
  private colours: Colours = { dot: "#cc4412", edge: "#ffffff" };
  private alive: Flash[] = [];
  private dirty = false;
  private boost = 1;

  /** `above` is for what moves; without it nothing does. */
  constructor(
    private readonly plane: Plane,
    below: HTMLCanvasElement,
    above: HTMLCanvasElement | null,
  ) {
    this.scale = scaleOf(plane);
    this.dots = sharp(below);
    this.flashes = above === null ? null : sharp(above);
    this.recolour(below);
  }

  /** Reads the colours again: the viewer may have gone from light to dark. */
  recolour(from: HTMLElement): void {
    const style = getComputedStyle(from);
    const read = (name: string, otherwise: string): string =>
      style.getPropertyValue(name).trim() || otherwise;
    this.colours = { dot: read("--pin", "#cc4412"), edge: read("--land", "#ffffff") };
  }

  /** Everything anew, the small above the large. */
  all(dots: Iterable<Dot>): void {
    const context = this.dots;
    if (context === null) return;
    clear(context);
    this.alive = [];
    const known = [...dots];
    // Those of a replay that come later count from the beginning: none changes its size.
    this.boost = dotBoost(known.length);
    const sorted = known.filter(({ count }) => count > 0);
    sorted.sort((a, b) => b.count - a.count);
    for (const dot of sorted) this.disc(context, dot);
  }

  /** One place that has grown; its ring spreads if there is a canvas for that. */
  grow(dot: Dot, now: number): void {
    if (this.dots === null) return;
    this.disc(this.dots, dot);
    if (this.flashes === null || this.alive.length >= MOST_FLASHES) return;
    const [x, y] = placeOn(this.plane, dot.lng, dot.lat);
    this.alive.push({ x, y, radius: dotRadius(dot.count, this.scale * this.boost), since: now });
  }

  /** One picture of what moves; false once all is still. */
  frame(now: number): boolean {
    const context = this.flashes;
    if (context === null) return false;
    if (this.dirty) clear(context);
    this.alive = this.alive.filter(({ since }) => now - since < FLASH_MS);
    this.dirty = this.alive.length > 0;
    context.strokeStyle = this.colours.dot;
    context.lineWidth = 1.6 * this.scale;
    for (const { x, y, radius, since } of this.alive) {
      const age = Math.max(0, (now - since) / FLASH_MS);
      context.globalAlpha = 0.6 * (1 - age);
      context.beginPath();
      context.arc(x, y, radius + 13 * this.scale * (1 - (1 - age) ** 2), 0, 2 * Math.PI);
      context.stroke();
    }
    context.globalAlpha = 1;
    return this.dirty;
  }

  private disc(context: CanvasRenderingContext2D, { lng, lat, count }: Dot): void {
    const [x, y] = placeOn(this.plane, lng, lat);
    context.fillStyle = this.colours.dot;
    context.strokeStyle = this.colours.edge;
    context.lineWidth = 0.7 * this.scale;
    context.beginPath();
    context.arc(x, y, dotRadius(count, this.scale * this.boost), 0, 2 * Math.PI);
    context.fill();
    context.stroke();
  }
}

/** As many points as the screen has, and the page's own pixels to draw in. */
function sharp(canvas: HTMLCanvasElement): CanvasRenderingContext2D | null {
  const ratio = Math.min(2, globalThis.devicePixelRatio || 1);
  canvas.width = Math.round(canvas.clientWidth * ratio);
  canvas.height = Math.round(canvas.clientHeight * ratio);
  const context = canvas.getContext("2d");
  context?.scale(ratio, ratio);
  return context;
}

function clear(context: CanvasRenderingContext2D): void {
  context.save();
  context.resetTransform();
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  context.restore();
}
