// How to take part, for those who stand in front of the board: an address to type or to photograph.
import type { VNode } from "preact";
import { useMemo } from "preact/hooks";
import encodeQR from "qr";

/** The quiet zone that readers ask for, in modules. */
const BORDER = 3;

/** The dark modules as one path, a stroke for each run of them in a row. */
export function pathOf(modules: boolean[][]): string {
  const runs: string[] = [];
  modules.forEach((row, y) => {
    for (let x = 0; x < row.length; x += 1) {
      if (!row[x]) continue;
      const start = x;
      while (row[x + 1]) x += 1;
      runs.push(`M${start} ${y}h${x + 1 - start}v1h-${x + 1 - start}z`);
    }
  });
  return runs.join("");
}

export function TakePart({ slug }: { slug: string }): VNode {
  const path = `/events/${slug}/submit`;
  const [drawing, side] = useMemo(() => {
    const modules = encodeQR(location.origin + path, "raw", { ecc: "medium", border: BORDER });
    return [pathOf(modules), modules.length];
  }, [path]);
  return (
    <aside class="take-part" aria-label="Take part">
      <svg class="qr" viewBox={`0 0 ${side} ${side}`} aria-hidden="true">
        <rect width={side} height={side} />
        <path d={drawing} shape-rendering="crispEdges" />
      </svg>
      <p>
        Take part
        <a href={path} data-testid="board-submit">
          {location.host}
          <wbr />
          {path}
        </a>
      </p>
    </aside>
  );
}
