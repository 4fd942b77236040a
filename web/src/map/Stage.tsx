// The moving picture: the base map with the markers on it, and the element that takes the gestures.
import type { RefObject, VNode } from "preact";
import type { Cell, Pin } from "../api/types";
import type { LiveStatus } from "../live";
import { BaseMap, Names } from "./BaseMap";
import { Markers, rectsOf } from "./Markers";
import type { Size, View } from "./viewport";
import type { World } from "./world";

interface Props {
  stage: RefObject<HTMLDivElement | null>;
  view: View;
  size: Size;
  world: World | null;
  status: LiveStatus;
  total: number | null;
  features: (Cell | Pin)[];
  arrived: ReadonlySet<string>;
  selected: string | null;
  onCell: (cell: Cell) => void;
  onPin: (pin: Pin) => void;
}

export function Stage({ stage, status, total, world, ...markers }: Props): VNode {
  const { view, size } = markers;
  return (
    // biome-ignore lint/a11y/useSemanticElements: a fieldset is for forms
    <div
      ref={stage}
      class="stage"
      role="group"
      // biome-ignore lint/a11y/noNoninteractiveTabindex: arrow keys move the map
      tabIndex={0}
      aria-label={`Map with ${total ?? "no"} successes. Arrow keys move it, plus and minus zoom, Tab leads to the pins. The list after it says the same.`}
      data-testid="map"
      data-live={status}
      data-zoom={view.zoom.toFixed(2)}
    >
      {size.width > 0 && (
        <>
          {world !== null && (
            <>
              <BaseMap world={world} view={view} size={size} />
              <Names {...{ world, view, size }} marks={rectsOf(markers.features, view, size)} />
            </>
          )}
          <Markers {...markers} />
        </>
      )}
    </div>
  );
}
