// Whose data the places and the map are.
import type { VNode } from "preact";

export function Credits(): VNode {
  return (
    <p class="credits" data-testid="credits">
      Places by <a href="https://www.geonames.org/">GeoNames</a> (
      <a href="https://creativecommons.org/licenses/by/4.0/">CC BY 4.0</a>), map data{" "}
      <a href="https://www.naturalearthdata.com/">Natural Earth</a>
    </p>
  );
}
