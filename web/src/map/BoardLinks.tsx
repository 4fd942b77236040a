// From the map to the board for the venue, and to the replay that runs on it.
import type { VNode } from "preact";
import { Icon } from "../board/icons";

export function BoardLinks({ slug }: { slug: string }): VNode {
  const board = `/events/${slug}/board`;
  return (
    <nav class="board-links" aria-label="Other views of this event">
      <a class="button" href={board} data-testid="board-link" aria-label="Board">
        <Icon name="board" />
        <span>Board</span>
      </a>
      <a
        class="button"
        href={`${board}#replay`}
        data-testid="replay-button"
        aria-label="Replay the event in a minute"
      >
        <Icon name="play" />
        <span>Replay</span>
      </a>
    </nav>
  );
}
